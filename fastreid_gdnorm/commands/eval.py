"""``fastreid eval``: test a checkpoint along any path."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ._config import ABOUT_RUNS, add_config_file, add_overrides, config_file_of

SUMMARY = "test a trained model on DATASETS.TESTS"
DESCRIPTION = (
    """\
Test a trained model on DATASETS.TESTS, along a path through its branches:

  mean             the mean path: the usual choice, and the default of exports
  source:N         the path of source number N in DATASETS.NAMES, counted from 0
  sample:SEED      a path sampled from the Gaussian process
  ensemble         the features averaged over the paths of all sources
  weighted         for each image, the branches weighted by closeness to it
  weighted:W,W,... the branches weighted by W, one weight for each source
  instance         for each image, its own statistics weighed against those of
                   the sources
  posterior:FILE   a posterior path: a file or folder of fastreid adapt

If you pass --path for a model without branches, it first gets one branch per
source. This needs the source data sets on disk.

"""
    + ABOUT_RUNS
)
EXAMPLES = """\
examples:
  fastreid eval --model logs/mine
  fastreid eval --model logs/mine DATASETS.TESTS "('labelled.csv',)"
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
        help="the path to test along, see above; default: the config's MODEL.GDNORM.TEST_PATH",
    )
    parser.add_argument(
        "--site",
        default="",
        metavar="DIR",
        help="a folder of fastreid adapt: adapts the features to each image's camera",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="the folder to write test_results.csv and .json to; default: a folder in OUTPUT_DIR that is "
        "named after the path or the site, such as eval-mean",
    )
    add_overrides(parser)


def run(args: Namespace) -> None:
    from ..errors import UserError
    from ..inference.site import Site, open_site
    from ..runs.run import evaluate

    site = open_site(args.site) if args.site else Site()
    if site.path and args.path:
        raise UserError(f"--path {args.path}: site {args.site} has its own posterior paths; leave out --path")
    evaluate(config_file_of(args), args.opts, site.path or args.path, args.output, site.offsets)
