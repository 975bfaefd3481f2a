"""``fastreid train``: fast-reid's training, by its own flags, and a seed."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from ._config import ABOUT_CONFIGS
from ._values import at_least

SUMMARY = "train on DATASETS.NAMES and test on DATASETS.TESTS"
DESCRIPTION = "Train with fast-reid's DefaultTrainer, and test.\n\n" + ABOUT_CONFIGS
EXAMPLES = """\
examples:
  fastreid train --config-file projects/GDNorm/configs/demo/gdnorm.yml --seed 0 OUTPUT_DIR logs/mine
  fastreid train --config-file configs/Base-GDNorm.yml \\
      DATASETS.NAMES "('DGMSMT17','DGCUHK03')" DATASETS.TESTS "('DGMarket1501',)" OUTPUT_DIR logs/to-market
  (the same again with --resume before the first KEY goes on where it was stopped)
  torchrun --nproc_per_node 2 -m fastreid_gdnorm train --config-file configs/Base-GDNorm.yml ...
      (or --num-gpus 2; on the CPU as well: so many processes; projects/GDNorm/README.md, "Several processes")
  fastreid train --add-source DGDukeMTMC --from logs/to-market --new-branch-only SOLVER.MAX_EPOCH 10
"""


def parents() -> list[ArgumentParser]:
    from fastreid.engine import default_argument_parser

    return [default_argument_parser()]


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--seed", type=at_least(-1), metavar="S", help="the key SEED: runs with one seed are the same on CPU"
    )
    parser.add_argument(
        "--add-source",
        metavar="NAME",
        help="go on with the trained model of --from and one more source; its branch begins by the look of its images",
    )
    parser.add_argument(
        "--from", dest="from_run", metavar="RUN", help="the folder of the run that --add-source adds to"
    )
    parser.add_argument(
        "--new-branch-only",
        action="store_true",
        help="with --add-source: train the new branch and the classifier alone",
    )


def run(args: Namespace) -> None:
    from ..errors import UserError
    from ..runs.cluster_env import started_place
    from ..runs.launcher import Processes
    from ..runs.new_source import begin_with_new_source
    from ..runs.run import train

    if bool(args.add_source) != bool(args.from_run) or (args.new_branch_only and not args.add_source):
        raise UserError("--add-source NAME and --from RUN go together, and --new-branch-only goes with them")
    flag = "--resume" if args.resume else "--eval-only" if args.eval_only else ""
    if flag and args.opts and (os.sep in args.opts[0] or os.path.exists(args.opts[0])):
        raise UserError(
            f"{flag} takes no value: name a run's folder by OUTPUT_DIR {args.opts[0]}, or a checkpoint by MODEL.WEIGHTS"
        )
    if args.num_gpus < 0 or not 0 <= args.machine_rank < args.num_machines:
        raise UserError(
            "--num-gpus is 0 or more, --num-machines 1 or more, and --machine-rank counts the machines from 0; got "
            f"{args.num_gpus}, {args.num_machines} and {args.machine_rank}"
        )
    processes = Processes(args.num_gpus, args.num_machines, args.machine_rank, args.dist_url)
    if args.add_source:
        if processes.number > 1 or started_place(os.environ):
            raise UserError(
                "--add-source begins in one process; once it trains, train --resume --config-file "
                "OUTPUT_DIR/config.yaml goes on in several"
            )
        if args.config_file:
            raise UserError(
                "--add-source takes the config of --from: leave --config-file out, and override by KEY VALUE"
            )
        args.config_file = begin_with_new_source(
            args.from_run, args.add_source, args.opts, args.new_branch_only, args.resume
        )
    train(args.config_file, args.opts, args.seed, args.resume, args.eval_only, processes)
