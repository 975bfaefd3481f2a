"""``fastreid eval``: the test of a checkpoint, along any path."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ._config import ABOUT_CONFIGS, add_config_file, add_overrides

SUMMARY = "test a trained model on DATASETS.TESTS"
DESCRIPTION = "Test the checkpoint MODEL.WEIGHTS, by default the last one in OUTPUT_DIR.\n\n" + ABOUT_CONFIGS
EXAMPLES = """\
examples:
  fastreid eval --config-file logs/mine/config.yaml
  fastreid eval --config-file logs/mine/config.yaml --path source:0 MODEL.WEIGHTS logs/mine/model_final.pth
"""


def add_arguments(parser: ArgumentParser) -> None:
    add_config_file(parser)
    parser.add_argument(
        "--path",
        metavar="PATH",
        help="the path to test along: mean, source:K (the K-th of DATASETS.NAMES, from 0), sample:SEED, ensemble "
        "(features averaged over the sources), weighted (each image by the branches near it), instance (each image by "
        "its own statistics, as far as one counts) or posterior:FILE (of fastreid adapt); default: "
        "MODEL.GDNORM.TEST_PATH. A model without branches gets them from its sources for this",
    )
    parser.add_argument(
        "--output", metavar="DIR", help="for test_results.csv and .json; default: OUTPUT_DIR/eval, with the path's name"
    )
    add_overrides(parser)


def run(args: Namespace) -> None:
    from ..runs.run import evaluate

    evaluate(args.config_file, args.opts, args.path, args.output)
