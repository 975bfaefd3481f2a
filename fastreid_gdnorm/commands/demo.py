"""``fastreid demo``: four trainings, tested on unseen synthetic domains before and after adaptation."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

SUMMARY = "train, test and adapt four small models, in five minutes"
DESCRIPTION = """\
Render synthetic domains of people and train four small models on three of them:
a baseline, branches only, GDNorm, and configs/GDNorm-recommended.yml. All start
from a pretrained network that comes with the plugin. Test each model on twelve
other domains that it has not seen, before and after adapting it with 16
unlabelled images per camera. Trainings that have finished are kept.
"""
EXAMPLES = """\
examples:
  fastreid demo
  fastreid demo --output /tmp/demo
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--output", default="logs/demo", metavar="DIR", help="the folder to write to; default: %(default)s"
    )


def run(args: Namespace) -> None:
    from ..demo import run_demo

    run_demo(args.output)
