"""``fastreid paths``: test one model along many paths."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ._config import ABOUT_RUNS, add_config_file, add_overrides, config_file_of
from ._values import at_least, lambdas

SUMMARY = "test one model along many paths (Figure 2 and Table 5)"
DESCRIPTION = (
    """\
Test a trained model on DATASETS.TESTS along every source's path, the mean
path, the ensemble of the sources, and sampled paths, as in the paper's Figure 2
and Table 5. Images are decoded once and kept in memory (3 bytes per pixel).
It is safe to interrupt: rerunning the command resumes.

"""
    + ABOUT_RUNS
)
EXAMPLES = """\
examples:
  fastreid paths --model logs/mine --output logs/mine/paths
  fastreid paths --model logs/mine --output logs/mine/paths --samples 20 --lambdas 0.2,0.6,1
"""


def add_arguments(parser: ArgumentParser) -> None:
    add_config_file(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="the folder to write tables and figures to")
    parser.add_argument(
        "--samples", type=at_least(0), default=100, metavar="N", help="sampled paths per lambda; default: %(default)s"
    )
    parser.add_argument(
        "--lambdas",
        type=lambdas,
        default="0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1",
        metavar="L,L,...",
        help="the values of lambda in Eq. 11; default: %(default)s",
    )
    add_overrides(parser)


def run(args: Namespace) -> None:
    from ..report.sweep_report import sweep_paths

    sweep_paths(config_file_of(args), args.output, args.samples, args.lambdas, args.opts)
