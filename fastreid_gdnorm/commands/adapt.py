"""``fastreid adapt``: a site's camera offsets and posterior paths, by unlabelled images."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ._values import at_least, device

if TYPE_CHECKING:
    from ..inference import CameraOffsets, FeatureExtractor
    from ..inference.adaptation import Adapter, SitePaths
    from ..inference.records import Record

FEATURES, NORMS, BOTH = WAYS = ("features", "norms", "both")

SUMMARY = "fit a trained model to a site by unlabelled images of it, without training"
DESCRIPTION = (
    "Learn from unlabelled images how the cameras of a site differ, in one of two ways or both:\n\n"
    "  features   camera offsets: the mean feature of each camera's images, shrunk towards the mean of all cameras by\n"
    "             how much so many images can tell, is subtracted from its features before they are compared. For any\n"
    "             model: a run or a stock fast-reid model (a folder of config.yaml and its checkpoint), an export, an\n"
    "             ONNX file, which needs no torch. No sources are needed\n"
    "  norms      posterior paths: the statistics of the images in every BN layer are weighed against those of the\n"
    "             sources, by how much domains differ and how much images vary. For a run's folder; one that was\n"
    "             trained without GDNorm gets a branch for each of its sources, which must be at hand\n"
    "  both       offsets of the features along each camera's posterior path\n\n"
    "Without --by, a run that was trained with branches gets a posterior path for each camera, which lifts such\n"
    "networks most. All other models get camera offsets, which harmed none (projects/GDNorm/results/recipe.md).\n\n"
    "DIR is then a site, which eval, extract, index, search and calibrate follow by --site DIR, FeatureExtractor by\n"
    "site=DIR, and eval and export by --path posterior:DIR if it has norms. The images' names, or a table, say the\n"
    "camera of each, now and later: 1, 01, c1 and cam-1 are one camera. Images of other cameras, or of unknown ones,\n"
    "follow the site as a whole (the mean of all cameras; the path of all images), and a line counts them.\n\n"
    "IMAGES are crops as the detector will give them: files, folders, patterns in quotes, tables with a column\n"
    "path (and camera), or a data set of fast-reid's registry, of which the training images are taken, without\n"
    "their labels. Give 16 to 64 of different people, of all hours, from each camera: several images of one person\n"
    "tell less than as many people do, and count the same. With the very images that the model is then tested on, the\n"
    "test is transductive, which fastreid eval says. Copies of an image count once. In DIR only files of an earlier\n"
    "adaptation are replaced."
)
EXAMPLES = """\
examples:
  fastreid adapt --model logs/mine crops/ --output logs/mine/site
  fastreid eval --config-file logs/mine/config.yaml --site logs/mine/site
  fastreid adapt --model logs/mine/export/model.onnx cameras.csv --output site
  fastreid extract --model logs/mine/export/model.onnx --site site cameras.csv --output features.npz
  fastreid adapt --model logs/mine DGMarket1501 --by norms --by-camera --output logs/mine/market
  fastreid export --config-file logs/mine/config.yaml --path posterior:logs/mine/market --output logs/mine/export
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="MODEL", help="a run; by features also an export or ONNX")
    parser.add_argument("images", nargs="*", metavar="IMAGES", help="unlabelled, of the site")
    parser.add_argument("--images", dest="more", nargs="+", default=[], metavar="IMAGES", help="the same")
    parser.add_argument("--output", required=True, metavar="DIR", help="where the site goes")
    parser.add_argument("--by", choices=WAYS, help="what to learn; default: see above")
    parser.add_argument(
        "--by-camera",
        action="store_true",
        help="with --by norms: also a path for each camera that has two images. Otherwise adapt always goes by camera",
    )
    parser.add_argument(
        "--prior-only-layers",
        nargs="+",
        default=[],
        metavar="NAME",
        help="by norms: BN layers that keep the sources' statistics: names as in the model, or patterns such as "
        "'heads.*'",
    )
    parser.add_argument("--skip-unreadable", action="store_true", help="leave out images that cannot be read")
    parser.add_argument(
        "--device", type=device, default="", metavar="D", help="cpu, cuda or cuda:N; default: CUDA if there is one"
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=256,
        metavar="N",
        help="images of a pass; by norms, up to so many take one pass, more take one for each BN layer; default: "
        "%(default)s",
    )
    parser.add_argument(
        "--workers", type=at_least(0), default=0, metavar="N", help="threads that read images; default: cores"
    )


def run(args: Namespace) -> None:
    from ..console import say
    from ..errors import UserError
    from ..site_files import FIGURE, OFFSETS, SITE, check_output

    words = [*args.images, *args.more]
    if not words:
        raise UserError("name IMAGES of the site")
    if args.batch_size < 2:
        raise UserError(f"--batch-size is 2 or more, got {args.batch_size}")
    if not args.by:
        args.by, args.by_camera = _best_way(args.model), True
        say(f"by {args.by}, as {'this run has' if args.by == NORMS else 'this model has no'} branches: --by chooses")
    if args.by == FEATURES and args.prior_only_layers:
        raise UserError("--prior-only-layers is of posterior paths: add --by norms, or --by both")
    folder = Path(args.output)
    check_output(folder, [*[SITE, FIGURE] * (args.by != FEATURES), *[OFFSETS] * (args.by != NORMS)])
    if args.by == FEATURES:
        _by_features(args, words, folder)
    else:
        _by_norms(args, words, folder)
    say(f"use it: --site {folder}")


def _best_way(model: str) -> str:
    """For a run that was trained with branches, and for every other model."""
    from ..inference.labelled import config_of

    cfg = config_of(model)
    if cfg is None:
        return FEATURES
    from ..modeling import is_gdnorm

    return NORMS if is_gdnorm(cfg) and len(cfg.DATASETS.NAMES) > 1 else FEATURES


def _by_features(args: Namespace, words: Sequence[str], folder: Path) -> None:
    from ..inference.labelled import config_of
    from ..inference.offset_adaptation import adapt_offsets, of_known_camera
    from ..inference.unlabelled import site_images, without_copies

    records = of_known_camera(without_copies(site_images(words, config_of(args.model))))
    _say_offsets(adapt_offsets(_extractor(args), records, folder, args.skip_unreadable), folder)


def _by_norms(args: Namespace, words: Sequence[str], folder: Path) -> None:
    from ..inference.adaptation import Adapter, adapt_site
    from ..inference.offset_adaptation import learn_offsets, write_offsets
    from ..inference.unlabelled import by_camera, site_images, without_copies
    from ..report.posterior_figure import save_weights_figure

    learned: list[CameraOffsets] = []

    def draw(file: Path, site: SitePaths) -> None:
        save_weights_figure(file, {name: adapted.path for name, adapted in site.by_name().items()})

    def learn(part: Path) -> dict[str, object]:
        learned.append(learn_offsets(_extractor(args, f"posterior:{part}"), records, args.skip_unreadable))
        return write_offsets(part, learned[0])

    adapter = Adapter(args.model, args.device, args.batch_size, args.workers)
    records = without_copies(site_images(words, adapter.cfg))
    groups = by_camera(records) if args.by_camera or args.by == BOTH else {}
    _say_sharing(records, groups)
    how = (folder, args.prior_only_layers, args.skip_unreadable, draw, learn if args.by == BOTH else None)
    _say_paths(adapter, adapt_site(adapter, records, groups, *how), groups, folder)
    for offsets in learned:
        _say_offsets(offsets, folder)


def _extractor(args: Namespace, path: str = "") -> FeatureExtractor:
    from ..inference import FeatureExtractor

    how = {"device": args.device, "batch_size": args.batch_size, "workers": args.workers}
    return FeatureExtractor(args.model, path=path, **how)


def _say_sharing(records: Sequence[Record], groups: dict[str, list[Record]]) -> None:
    from ..console import say
    from ..image_names import canonical_camera

    sharing = {canonical_camera(record.camera) for record in records if record.camera}
    if not groups and len(sharing) > 1:
        say(f"{len(sharing)} cameras share this path, which may do harm: --by-camera gives each its own")


def _say_paths(adapter: Adapter, site: SitePaths, groups: dict[str, list[Record]], folder: Path) -> None:
    from ..console import say
    from ..inference.adaptation_check import MIN_IMAGES, MIN_REPEATABILITY

    for camera in [camera for camera in groups if camera not in site.cameras]:
        say(f"camera {camera} has only one image; using the site's path for it")
    for name, adapted in site.by_name().items():
        reliability = adapted.reliability
        say(
            f"{adapted.file} ({name}): {adapted.path.images} images, repeatability {reliability.repeatability:.2f} of 1"
        )
        if adapted.path.images < MIN_IMAGES:
            say(f"    fewer than {MIN_IMAGES} images sometimes do more harm than good: give it more")
        elif not reliability.trusts:
            doubt = "the two halves of the images disagree; this path may be worse than not adapting. Add more images"
            say(f"    below {MIN_REPEATABILITY}: {doubt}")
    shares = ", ".join(f"{name} {share:.2f}" for name, share in zip(adapter.cfg.DATASETS.NAMES, site.whole.branches))
    say(f"near the sources by {shares}\nweights by depth: {folder / 'weights.png'}")


def _say_offsets(offsets: CameraOffsets, folder: Path) -> None:
    from ..console import say
    from ..inference.offset_adaptation import about
    from ..site_files import OFFSETS

    say("\n".join([f"{folder / OFFSETS}: offsets of {len(offsets.cameras.names)} cameras", *about(offsets)]))
