"""``fastreid extract``: the features of your own images, in a file."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ._model import ABOUT_IMAGES, ABOUT_MODELS, add_images, add_model, extractor_of

SUMMARY = "write the features of images to a file (.npz or .parquet)"
DESCRIPTION = (
    """\
Write the features of images to a file, .npz for NumPy or .parquet for a vector
database. The images keep the order in which they are given. Each has its path,
camera, time and identity, and the SHA-256 of its contents; the file also holds
the model's digest and the metric to compare features by. It is safe to
interrupt: rerunning the command resumes.

"""
    + ABOUT_MODELS
    + ABOUT_IMAGES
)
EXAMPLES = """\
examples:
  fastreid extract --model logs/mine crops --output features.npz
  fastreid extract --model logs/mine/export/model.onnx "cam*/*.jpg" more.csv --output features.parquet
  fastreid extract --model logs/mine/export --site site cameras.csv --output features.npz
  python -c "import numpy; print(numpy.load('features.npz')['features'].shape)"
"""


def add_arguments(parser: ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "--output", required=True, type=Path, metavar="FILE", help="the file to write, .npz or .parquet"
    )
    add_images(parser)


def run(args: Namespace) -> None:
    from ..console import say
    from ..disk import check_writable
    from ..inference.extraction import extract
    from ..inference.feature_files import check_output, save_features
    from ..inference.journal import Journal
    from ..inference.records import find_images

    check_writable(args.output.parent)
    records = find_images(args.images)
    check_output(args.output, records)
    extractor = extractor_of(args)
    description = extractor.description
    journal = Journal(args.output.with_name(args.output.name + ".journal"), description.model)
    extraction = extract(extractor, records, journal, skip_unreadable=args.skip_unreadable)
    save_features(args.output, extraction, description)
    journal.remove()
    left_out = f" ({extraction.left_out} left out)" if extraction.left_out else ""
    say(
        f"{args.output}: {len(extraction.records)} images{left_out}, {description.features} features each, "
        f"compared by {description.metric}; model {description.model[:16]}"
    )
