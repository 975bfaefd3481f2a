#!/usr/bin/env bash
# A training on two machines of four GPUs under Slurm: sbatch projects/GDNorm/slurm.sh OUTPUT_DIR logs/to-market
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --requeue
# A task is a process with a GPU. Tasks find each other through srun's variables. A requeued job resumes (--resume).
set -euo pipefail
srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" fastreid train --resume \
    --config-file projects/GDNorm/configs/protocol2/to-market/gdnorm.yml \
    MODEL.BACKBONE.NORM syncBN MODEL.HEADS.NORM syncBN "$@"
