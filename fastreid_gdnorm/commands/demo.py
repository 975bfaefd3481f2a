"""``fastreid demo``: what branches and sampled paths do, shown in a few minutes on drawn domains."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

SUMMARY = "baselines, branches only and GDNorm on drawn domains: one table, a few minutes on two cores"
DESCRIPTION = (
    "Draw four domains of people, and train on three of them: a small baseline, one with balanced\n"
    "batches, one with branches only and one with GDNorm. Test all on the fourth, which none has seen.\n"
    "Runs that are done are kept."
)
EXAMPLES = ""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--output", default="logs/demo", metavar="DIR", help="default: %(default)s")


def run(args: Namespace) -> None:
    from ..demo import run_demo

    run_demo(args.output)
