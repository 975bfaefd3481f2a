"""``fastreid export``: a trained model for programs that do not have the plugin."""

from __future__ import annotations

import textwrap
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path

from ..consumers import CONSUMERS, Consumer
from ._config import ABOUT_RUNS, add_config_file, add_overrides, config_file_of


def _table(rows: Iterable[tuple[str, str]]) -> str:
    """Names and what is said about them, in two columns."""
    fill = textwrap.TextWrapper(79, subsequent_indent=" " * 16, break_long_words=False, break_on_hyphens=False).fill
    return "\n".join(fill(f"  {name:14}{words}") for name, words in rows)


def _about(consumer: Consumer) -> str:
    written = " and ".join(filter(None, (consumer.file, consumer.sidecar)))
    return f"{written}: " + "; ".join(filter(None, (consumer.takes, consumer.note)))


SUMMARY = "export a trained model to fast-reid, ONNX or TorchScript"
DESCRIPTION = (
    """\
Fold one path of a trained model into ordinary batch norm, and write a model
that stock fast-reid loads: config.yaml, model.pth and manifest.json. Every
file that holds a model is run on random images and compared with the trained
model.

--for also writes what another program loads, and checks it on rendered people,
fed the way that program feeds them:

"""
    + _table((name, _about(consumer)) for name, consumer in CONSUMERS.items())
    + """

Each file also loads in the other programs, but silently produces wrong
features there. manifest.json and the metadata of the ONNX file say what input
a file expects.

An export holds no camera offsets, because other programs do not tell it which
camera took an image. The commands of this package do, and let an export follow
a site: fastreid extract --model EXPORT --site DIR. To make DIR, run fastreid
adapt on the export, or on its run with --by features.

"""
    + ABOUT_RUNS
)
EXAMPLES = """\
examples:
  fastreid export --model logs/mine --output logs/mine/export
  fastreid export --model logs/mine --output logs/mine/export --onnx --fuse
  fastreid export --model logs/mine --output logs/mine/export --for boxmot --for ultralytics

then use it:
""" + _table((name, consumer.use.format(folder="logs/mine/export")) for name, consumer in CONSUMERS.items())


def add_arguments(parser: ArgumentParser) -> None:
    add_config_file(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="the folder to write to")
    parser.add_argument(
        "--path",
        default="mean",
        metavar="PATH",
        help="the path to fold: mean, source:N, sample:SEED, weighted:W,W,... (a weight for each source) or "
        "posterior:FILE. posterior:DIR, with a path for each camera, writes a folder for the site and one per camera. "
        "Default: "
        "%(default)s",
    )
    parser.add_argument(
        "--onnx",
        action="store_true",
        help="also write model.onnx: from RGB images (B, 3, H, W), 0 to 255, to features (B, D)",
    )
    parser.add_argument(
        "--fuse",
        action="store_true",
        help="also write model_fused.pt: TorchScript with batch norm folded into the convolutions",
    )
    parser.add_argument(
        "--for",
        dest="consumers",
        action="append",
        default=[],
        choices=CONSUMERS,
        metavar="PROGRAM",
        help="a program to export for, of the list above; can be repeated",
    )
    add_overrides(parser)


def run(args: Namespace) -> None:
    from ..console import say
    from ..export import check_output, each_camera, export_model
    from ..inference.description import MANIFEST
    from ..site_files import has_offsets

    config_file = config_file_of(args)
    paths = each_camera(args.path, args.output)
    for folder in paths:
        check_output(folder, args.onnx, args.fuse, args.consumers)
    for folder, path in paths.items():
        export_model(config_file, folder, path, args.onnx, args.fuse, args.consumers, args.opts)
    place = args.path.partition(":")[2]
    if place and has_offsets(place):
        say(f"an export cannot hold the camera offsets in {place}; to follow them, use the run with --site {place}")
    output = Path(args.output)
    others = {file.parent for file in (*output.glob(MANIFEST), *output.glob(f"*/{MANIFEST}"))}.difference(paths)
    if others:
        say(f"earlier exports, left unchanged: {', '.join(map(str, sorted(others)))}")
