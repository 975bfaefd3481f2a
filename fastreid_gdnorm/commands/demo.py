"""``fastreid demo``: four ways to train, on unseen drawn domains, and what a few images of each add."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

SUMMARY = "a baseline, branches only, GDNorm and the recommended way on unseen drawn domains, in five minutes"
DESCRIPTION = (
    "Draw domains of people, and train on three of them: a small baseline, one with branches only, one with GDNorm\n"
    "and one by configs/GDNorm-recommended.yml, all from a trained network that comes with the plugin. Test them on\n"
    "twelve others, which none has seen, as they were trained and adapted by 16 unlabelled images a camera. Trainings\n"
    "that are done are kept."
)
EXAMPLES = ""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--output", default="logs/demo", metavar="DIR", help="default: %(default)s")


def run(args: Namespace) -> None:
    from ..demo import run_demo

    run_demo(args.output)
