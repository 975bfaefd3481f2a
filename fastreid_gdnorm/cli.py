"""The ``fastreid`` command: what it takes; the work is elsewhere, and imported when it is needed."""

import argparse
import sys

from .errors import UserError
from .plugins import load_plugins

HELP_AS_WRITTEN = argparse.RawDescriptionHelpFormatter

DESCRIPTION = """\
Person re-identification with fast-reid, its plugins, and GDNorm: train on a few data sets, test on one never seen.

  fastreid demo                                     see it at work in a few minutes, on data drawn on the spot
  fastreid train --config-file FILE [KEY VALUE ...]
  fastreid eval  --config-file FILE [--path PATH] [KEY VALUE ...]
"""

CONFIGS = """\
A config is a YAML file of fast-reid's keys and the plugin's; it starts from another one with _BASE_. KEY VALUE
pairs override it and come last. The keys that matter most:

  DATASETS.NAMES "('Market1501','CUHK03')"   the sources to train on, in the order of the model's branches
  DATASETS.TESTS "('DukeMTMC',)"             the targets to test on
  OUTPUT_DIR DIR                             checkpoints, log.txt, metrics.json, TensorBoard
  MODEL.META_ARCHITECTURE GDNormBaseline     with MODEL.BACKBONE.NAME build_gdnorm_backbone: GDNorm
  MODEL.GDNORM.BACKBONE, .LAMBDA, .NOISE, .NUM_PATHS, .HEADS, .TEST_PATH

The data sets lie in the folder that the environment variable FASTREID_DATASETS names (default: datasets).
Your own data: put it into Market-1501's folders, or register a reader as fast-reid's documentation shows.
"""

TRAIN_EXAMPLES = """\
examples:
  fastreid train --config-file projects/GDNorm/configs/demo/gdnorm.yml --seed 0 OUTPUT_DIR logs/mine
  fastreid train --config-file configs/Base-GDNorm.yml \\
      DATASETS.NAMES "('DukeMTMC','MSMT17','CUHK03')" DATASETS.TESTS "('Market1501',)" OUTPUT_DIR logs/to-market
  (the same again with --resume before the first KEY goes on where it was stopped)
"""

EVAL_EXAMPLES = """\
examples:
  fastreid eval --config-file logs/mine/config.yaml
  fastreid eval --config-file logs/mine/config.yaml --path source:0 MODEL.WEIGHTS logs/mine/model_final.pth
"""


def main(argv=None):
    """Run the command; the exit status: 0 done, 2 the user's mistake."""
    load_plugins()
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        args.run(args)
    except UserError as error:
        print(f"fastreid {args.command}: {_one_line(error)}", file=sys.stderr)
        return 2
    return 0


def build_parser():
    """The parser of all commands."""
    parser = argparse.ArgumentParser("fastreid", description=DESCRIPTION, formatter_class=HELP_AS_WRITTEN)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_train(commands)
    _add_eval(commands)
    _add_demo(commands)
    return parser


def _add_train(commands):
    from fastreid.engine import default_argument_parser

    parser = commands.add_parser(
        "train",
        help="train on DATASETS.NAMES and test on DATASETS.TESTS",
        description="Train with fast-reid's DefaultTrainer, and test.\n\n" + CONFIGS,
        epilog=TRAIN_EXAMPLES,
        formatter_class=HELP_AS_WRITTEN,
        parents=[default_argument_parser()],
        conflict_handler="resolve",
    )
    parser.add_argument("--seed", type=int, metavar="S", help="the key SEED: runs with one seed are the same on CPU")
    parser.set_defaults(run=_train)


def _add_eval(commands):
    parser = commands.add_parser(
        "eval",
        help="test a trained model on DATASETS.TESTS",
        description="Test the checkpoint MODEL.WEIGHTS, by default the last one in OUTPUT_DIR.\n\n" + CONFIGS,
        epilog=EVAL_EXAMPLES,
        formatter_class=HELP_AS_WRITTEN,
    )
    parser.add_argument("--config-file", required=True, metavar="FILE", help="as for training, or a run's config.yaml")
    parser.add_argument(
        "--path",
        metavar="PATH",
        help="the path to test along: mean, source:K (the K-th of DATASETS.NAMES, from 0), sample:SEED, or ensemble "
        "(features averaged over the sources); default: MODEL.GDNORM.TEST_PATH",
    )
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE ...", help="config keys to override")
    parser.set_defaults(run=_eval)


def _add_demo(commands):
    parser = commands.add_parser(
        "demo",
        help="baseline, branches only and GDNorm on drawn domains: one table, a few minutes on two cores",
        description="Draw four domains of people, train a small baseline, one with branches only and one with GDNorm\n"
        "on three of them, and test all on the fourth, which none has seen. Runs that are done are kept.",
        formatter_class=HELP_AS_WRITTEN,
    )
    parser.add_argument("--output", default="logs/demo", metavar="DIR", help="default: %(default)s")
    parser.set_defaults(run=_demo)


def _train(args):
    from .engine.run import train

    train(args)


def _eval(args):
    from .engine.run import evaluate_command

    evaluate_command(args)


def _demo(args):
    from .demo import demo

    demo(args.output)


def _one_line(error):
    # from a loader's worker process an error comes with its traceback, whose last line it is
    return str(error).strip().splitlines()[-1].split("UserError: ")[-1]
