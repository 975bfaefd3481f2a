"""``fastreid train``: fast-reid's training, with fast-reid's flags and a few more."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from ._config import ABOUT_CONFIGS
from ._values import at_least

SUMMARY = "train a model, then test it"
DESCRIPTION = (
    """\
Train a model on DATASETS.NAMES with fast-reid's DefaultTrainer, then test it on
DATASETS.TESTS.

"""
    + ABOUT_CONFIGS
)
EXAMPLES = """\
examples:
  fastreid train --config-file projects/GDNorm/configs/demo/gdnorm.yml --seed 0 OUTPUT_DIR logs/mine
  fastreid train --config-file configs/Base-GDNorm.yml \\
      DATASETS.NAMES "('DGMSMT17','DGCUHK03')" DATASETS.TESTS "('DGMarket1501',)" OUTPUT_DIR logs/to-market
  fastreid train --config-file projects/GDNorm/configs/own-data.yml \\
      DATASETS.NAMES "('shop.csv','mall.csv')" DATASETS.TESTS "('office.csv',)" OUTPUT_DIR logs/mine

To resume an interrupted training, repeat its command with --resume before the
first KEY.

To train in several processes, on GPUs or on the CPU, pass --num-gpus N or use
torchrun (docs/several-processes.md):
  torchrun --nproc_per_node 2 -m fastreid_gdnorm train --config-file configs/Base-GDNorm.yml ...

To add a source to a trained model:
  fastreid train --add-source DGDukeMTMC --from logs/to-market --new-branch-only SOLVER.MAX_EPOCH 10
"""


def parents() -> list[ArgumentParser]:
    from fastreid.engine import default_argument_parser

    return [default_argument_parser()]


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--seed", type=at_least(-1), metavar="S", help="the key SEED; on the CPU, runs with the same seed are identical"
    )
    parser.add_argument(
        "--same-identities",
        action="store_true",
        help="your own tables and folders share one list of identities; the key DATASETS.OWN.SAME_IDENTITIES",
    )
    parser.add_argument(
        "--add-source",
        metavar="NAME",
        help="train the model of --from further, with one more source; the new branch is initialised from the "
        "statistics of its images",
    )
    parser.add_argument("--from", dest="from_run", metavar="RUN", help="the run to add the source to")
    parser.add_argument(
        "--new-branch-only",
        action="store_true",
        help="with --add-source: train only the new branch and the classifier",
    )


def run(args: Namespace) -> None:
    from ..errors import UserError
    from ..runs.cluster_env import rank_from_env
    from ..runs.launcher import Processes
    from ..runs.new_source import begin_with_new_source
    from ..runs.run import train

    if bool(args.add_source) != bool(args.from_run) or (args.new_branch_only and not args.add_source):
        raise UserError("--add-source NAME and --from RUN must be given together, and --new-branch-only needs both")
    flag = "--resume" if args.resume else "--eval-only" if args.eval_only else ""
    if flag and args.opts and (os.sep in args.opts[0] or os.path.exists(args.opts[0])):
        raise UserError(
            f"{flag} takes no value: pass a run's folder as OUTPUT_DIR {args.opts[0]}, or a checkpoint as MODEL.WEIGHTS"
        )
    if args.same_identities:
        args.opts = [*args.opts, "DATASETS.OWN.SAME_IDENTITIES", "True"]
    if args.num_gpus < 0 or not 0 <= args.machine_rank < args.num_machines:
        raise UserError(
            "--num-gpus must be 0 or more, --num-machines 1 or more, and --machine-rank counts the machines from 0; "
            f"got {args.num_gpus}, {args.num_machines} and {args.machine_rank}"
        )
    processes = Processes(args.num_gpus, args.num_machines, args.machine_rank, args.dist_url)
    if args.add_source:
        if processes.number > 1 or rank_from_env(os.environ):
            raise UserError(
                "--add-source must start in one process; once it is training, stop it and resume in several with "
                "fastreid train --resume --config-file OUTPUT_DIR/config.yaml"
            )
        if args.config_file:
            raise UserError(
                "--add-source uses the config of --from: leave out --config-file, and override keys with KEY VALUE"
            )
        args.config_file = begin_with_new_source(
            args.from_run, args.add_source, args.opts, args.new_branch_only, args.resume
        )
    train(args.config_file, args.opts, args.seed, args.resume, args.eval_only, processes)
