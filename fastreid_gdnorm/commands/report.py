"""``fastreid report``: all about runs on one page."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

SUMMARY = "one page about runs: results with deltas, curves, the Gaussian process, ranked results"
DESCRIPTION = (
    "Write report.html, which needs no other file and no network, and the same as report.md.\n\n"
    "A RUN_DIR is an OUTPUT_DIR of fastreid train. The first is what the others are compared with. A path sweep\n"
    "is looked for in RUN_DIR/paths. Ranked results need the targets' images, and take as long as a test."
)
EXAMPLES = """\
examples:
  fastreid report logs/mine
  fastreid report logs/demo/baseline logs/demo/branches logs/demo/gdnorm --output logs/demo/report
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run_dirs", nargs="*", metavar="RUN_DIR", help="output folders of fastreid train")
    parser.add_argument("--model", dest="more", nargs="+", default=[], metavar="RUN_DIR", help="the same")
    parser.add_argument("--output", metavar="DIR", help="default: RUN_DIR/report, for several runs ./report")


def run(args: Namespace) -> None:
    from ..errors import UserError
    from ..report.page import write_report

    runs = [*args.run_dirs, *args.more]
    if not runs:
        raise UserError("name one or more runs: fastreid report RUN_DIR ...")
    write_report(runs, args.output)
