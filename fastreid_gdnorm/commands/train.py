"""``fastreid train``: fast-reid's training, by its own flags, and a seed."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fastreid.engine import default_argument_parser

from ._config import ABOUT_CONFIGS

SUMMARY = "train on DATASETS.NAMES and test on DATASETS.TESTS"
DESCRIPTION = "Train with fast-reid's DefaultTrainer, and test.\n\n" + ABOUT_CONFIGS
PARENTS = [default_argument_parser()]
EXAMPLES = """\
examples:
  fastreid train --config-file projects/GDNorm/configs/demo/gdnorm.yml --seed 0 OUTPUT_DIR logs/mine
  fastreid train --config-file configs/Base-GDNorm.yml \\
      DATASETS.NAMES "('DGMSMT17','DGCUHK03')" DATASETS.TESTS "('DGMarket1501',)" OUTPUT_DIR logs/to-market
  (the same again with --resume before the first KEY goes on where it was stopped)
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, metavar="S", help="the key SEED: runs with one seed are the same on CPU")


def run(args: Namespace) -> None:
    from ..runs.run import Processes, train

    processes = Processes(args.num_gpus, args.num_machines, args.machine_rank, args.dist_url)
    train(args.config_file, args.opts, args.seed, args.resume, args.eval_only, processes)
