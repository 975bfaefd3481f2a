"""``fastreid report``: everything about one or more runs on one page."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

SUMMARY = "write a page about one or more runs"
DESCRIPTION = """\
Write a page about one or more runs: results, settings, data sets, learning
curves, the Gaussian process, the path sweep, and the ranked results of the
worst and best queries. report.html is a single file that needs no network;
report.md has the same content.

A RUN_DIR is an output folder of fastreid train. The others are compared with
the first. A path sweep is included if RUN_DIR/paths holds one. Ranked results
need the targets' images and take as long as a test.
"""
EXAMPLES = """\
examples:
  fastreid report logs/mine
  fastreid report logs/demo/baseline logs/demo/branches logs/demo/gdnorm --output logs/demo/report
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run_dirs", nargs="*", metavar="RUN_DIR", help="output folders of fastreid train")
    parser.add_argument("--model", dest="more", nargs="+", default=[], metavar="RUN_DIR", help="the same as RUN_DIR")
    parser.add_argument(
        "--output", metavar="DIR", help="the folder to write to; default: RUN_DIR/report, or ./report for several runs"
    )


def run(args: Namespace) -> None:
    from ..errors import UserError
    from ..report.page import write_report

    runs = [*args.run_dirs, *args.more]
    if not runs:
        raise UserError("name one or more runs: fastreid report RUN_DIR ...")
    write_report(runs, args.output)
