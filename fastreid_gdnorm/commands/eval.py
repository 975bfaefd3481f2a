"""``fastreid eval``: the test of a checkpoint, along any path."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ._config import ABOUT_CONFIGS, ABOUT_RUNS, add_config_file, add_overrides, config_file_of

SUMMARY = "test a trained model on DATASETS.TESTS"
DESCRIPTION = "Test a trained model on DATASETS.TESTS.\n\n" + ABOUT_RUNS + ABOUT_CONFIGS
EXAMPLES = """\
examples:
  fastreid eval --model logs/mine
  fastreid eval --model logs/mine --path ensemble
  fastreid eval --model logs/mine --site logs/mine/site
  fastreid eval --config-file logs/mine/config.yaml --path source:0 \\
      MODEL.WEIGHTS logs/mine/model_0009.pth
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
        "--site",
        default="",
        metavar="DIR",
        help="a folder of fastreid adapt: its posterior paths and camera offsets, by the images' cameras",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="for test_results.csv and .json; default: OUTPUT_DIR/eval, with the name of the path or the site",
    )
    add_overrides(parser)


def run(args: Namespace) -> None:
    from ..errors import UserError
    from ..inference.site import Site, open_site
    from ..runs.run import evaluate

    site = open_site(args.site) if args.site else Site()
    if site.path and args.path:
        raise UserError(f"--path {args.path}: site {args.site} has posterior paths of its own; leave --path out")
    evaluate(config_file_of(args), args.opts, site.path or args.path, args.output, site.offsets)
