"""The arguments of commands that take a model and images, and what their help says about both."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..inference import CameraOffsets, FeatureExtractor

ABOUT_MODELS = """\
A MODEL is a folder of fastreid train, a folder of fastreid export, or an ONNX file of fastreid export, which needs
onnxruntime and neither torch nor fast-reid.
"""
SITE_HELP = "a folder of fastreid adapt, which features follow by the images' cameras"
ABOUT_IMAGES = """\
IMAGES are files, folders with all that is below them, patterns in quotes, and tables: CSV files with a column path,
relative to the table, and columns camera, time and identity where these are known. Otherwise they are read off names
in the form of Market-1501's (0002_c1s1_000451_03.jpg) or DukeMTMC-reID's (0005_c2_f0046985.jpg). An image should show
one person, cut out as a detector does.
"""


def add_model(parser: ArgumentParser, required: bool = True, help: str = "a run, an export or an ONNX file") -> None:
    """``--model`` and how it is run, for :func:`extractor_of`."""
    parser.add_argument("--model", required=required, metavar="MODEL", help=help)
    parser.add_argument("--device", default="", metavar="D", help="cpu, cuda or cuda:N; default: CUDA if there is one")
    parser.add_argument("--half", action="store_true", help="half precision, on CUDA")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="default: %(default)s")
    parser.add_argument("--path", default="", metavar="PATH", help="through a run's model, as for fastreid eval")
    parser.add_argument("--site", default="", metavar="DIR", help=SITE_HELP)
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="threads that read images; default: cores")


def add_images(parser: ArgumentParser, nargs: str = "+") -> None:
    """``IMAGES ...`` and what to do with unreadable ones."""
    parser.add_argument("images", nargs=nargs, metavar="IMAGES", help="files, folders, patterns or tables")
    parser.add_argument("--skip-unreadable", action="store_true", help="leave out and name what cannot be read")


def extractor_of(
    args: Namespace, model: str = "", path: str = "", offsets: CameraOffsets | None = None
) -> FeatureExtractor:
    """The extractor that the arguments of :func:`add_model` ask for.

    Args:
        model, path: without ``--model``, this model along this path.
        offsets: without ``--site``, those that its features follow.
    """
    from ..console import say
    from ..inference import FeatureExtractor
    from ..inference.site import has_changed

    how = {name: getattr(args, name) for name in ("device", "half", "batch_size", "workers")}
    place, known = (args.model, "") if args.model else (model, path)
    if args.site and known.startswith("posterior:"):
        known = ""  # the site has its own
    if offsets and not args.site and has_changed(offsets):
        say(f"{offsets} has changed since: the gallery goes on with its own copy of the offsets")
    return FeatureExtractor(place, path=args.path or known, site=args.site or offsets, **how)
