"""The arguments of commands that take a model and images, and what their help says about both."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ._values import at_least, device

if TYPE_CHECKING:
    from ..inference import CameraOffsets, FeatureExtractor

ABOUT_MODELS = """\
A MODEL is an output folder of fastreid train, an output folder of fastreid
export, or an ONNX file: of fastreid export, or one from elsewhere that
describes its input (docs/your-own-data.md). An ONNX file needs onnxruntime,
but neither torch nor fast-reid. An export's folder runs its ONNX file if that
is faster: without a GPU, where onnxruntime is installed. A folder with
config.yaml and a checkpoint of any fast-reid model works too, also of its model
zoo.

"""
ABOUT_IMAGES = """\
IMAGES are files, folders (searched recursively), quoted patterns, and tables:
CSV files with a column path, relative to the table, and any of the columns
camera, time and identity; docs/your-own-data.md lists all. For other images
these three are read from names like Market-1501's (0002_c1s1_000451_03.jpg) or
DukeMTMC-reID's (0005_c2_f0046985.jpg). An image should show one person, cropped
the way a detector does.
"""


def add_model(parser: ArgumentParser, required: bool = True, help: str = "a run, an export or an ONNX file") -> None:
    """``--model`` and how to run it, for :func:`extractor_of`."""
    parser.add_argument("--model", required=required, metavar="MODEL", help=help)
    parser.add_argument("--path", default="", metavar="PATH", help="the path through a run's model; see fastreid eval")
    parser.add_argument(
        "--site",
        default="",
        metavar="DIR",
        help="a folder of fastreid adapt: adapts the features to each image's camera",
    )
    add_hardware(parser)
    parser.add_argument("--half", action="store_true", help="use half precision, on CUDA only")
    parser.add_argument(
        "--batch-size", type=at_least(1), default=64, metavar="N", help="images per batch; default: %(default)s"
    )


def add_hardware(parser: ArgumentParser) -> None:
    """``--device`` and ``--workers``."""
    parser.add_argument(
        "--device", type=device, default="", metavar="D", help="cpu, cuda or cuda:N; default: cuda if available"
    )
    parser.add_argument(
        "--workers", type=at_least(0), default=0, metavar="N", help="threads that read images; default: one per core"
    )


def add_images(parser: ArgumentParser, nargs: str = "+") -> None:
    """``IMAGES ...`` and what to do with unreadable ones."""
    parser.add_argument("images", nargs=nargs, metavar="IMAGES", help="files, folders, patterns or tables")
    add_skip_unreadable(parser)


def add_skip_unreadable(parser: ArgumentParser) -> None:
    """``--skip-unreadable``."""
    parser.add_argument("--skip-unreadable", action="store_true", help="leave out unreadable images, and name them")


def extractor_of(
    args: Namespace, model: str = "", path: str = "", offsets: CameraOffsets | None = None
) -> FeatureExtractor:
    """The extractor that the arguments of :func:`add_model` ask for.

    Args:
        model, path: the model and path to use without ``--model``.
        offsets: the camera offsets to follow without ``--site``.
    """
    from ..console import say
    from ..inference import FeatureExtractor
    from ..inference.description import MANIFEST
    from ..inference.site import has_changed

    how = {name: getattr(args, name) for name in ("device", "half", "batch_size", "workers")}
    place, known = (args.model, "") if args.model else (model, path)
    if args.site and known.startswith("posterior:"):
        known = ""  # the site brings its own
    if offsets and not args.site and has_changed(offsets):
        say(f"{offsets} has changed since the gallery was made; the gallery keeps using its own copy of the offsets")
    extractor = FeatureExtractor(place, path=args.path or known, site=args.site or offsets, **how)
    if (Path(place) / MANIFEST).is_file():
        say(f"{place} runs in {extractor.engine}")
    return extractor
