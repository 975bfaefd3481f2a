"""``fastreid adapt``: camera offsets and posterior paths of a site, from unlabelled images."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ._model import add_hardware, add_images
from ._values import at_least

if TYPE_CHECKING:
    from fastreid.config import CfgNode

    from ..inference import CameraOffsets, FeatureExtractor
    from ..inference.adaptation import Adapter, SitePaths
    from ..inference.records import Record

FEATURES, NORMS, BOTH = WAYS = ("features", "norms", "both")

SUMMARY = "adapt a trained model to a site, from unlabelled images"
DESCRIPTION = """\
Adapt a trained model to a site, from unlabelled images of its cameras and
without training. There are two ways, which can be combined:

  features   Camera offsets: each camera's mean feature is subtracted from its
             features before they are compared. The fewer images a camera has,
             the more its mean is shrunk towards the mean of all cameras.
             Works with every model: a run, a stock fast-reid model (a folder
             with config.yaml and its checkpoint), an export, or an ONNX file
             (without torch). Does not need the source data sets.
  norms      Posterior paths: in every BN layer, the statistics of the images
             are weighed against those of the sources, by how much domains
             differ and how much images vary. Works with runs only. A run that
             was trained without GDNorm gets one branch per source, which
             needs the source data sets on disk.
  both       Camera offsets of features along each camera's posterior path.

Without --by, a run that was trained with branches is adapted by norms, one
path per camera, which improves such networks most. Every other model is
adapted by features, which harmed no model in our tests with 64 images per
camera (projects/GDNorm/results/recipe.md).

The folder DIR is then a site: pass it as --site DIR to eval, extract, index,
search, calibrate and group, or as site=DIR to FeatureExtractor. If it holds
posterior paths, eval and export also take --path posterior:DIR. Each image's
camera is read from its name or from a table, now and later; 1, 01, c1 and cam-1
are the same camera. Images of other or unknown cameras follow the site as a
whole (the mean of all cameras, or the path of all images), and a line counts
them.

IMAGES are crops as your detector produces them: files, folders, quoted
patterns, tables with a column path (and camera), or a data set that is
registered with fast-reid, whose training images are used without their labels.
Give 64 to 256 images per camera, and at least 16, of different people and at
different hours: every image counts the same, but ten images of one person tell
less than one image each of ten people. Copies of an image count once. Of a
camera with more than 256 images, 256 are used, drawn at random but always the
same ones, since more would change little; the path of the whole site takes at
most 256 images too. If you later test on the same images, the test is
transductive, and fastreid eval says so. In DIR, only files of an earlier
adaptation are replaced.
"""
EXAMPLES = """\
examples:
  fastreid adapt --model logs/mine crops/ --output logs/mine/site
  fastreid eval --model logs/mine --site logs/mine/site
  fastreid adapt --model logs/mine/export/model.onnx cameras.csv --output site
  fastreid extract --model logs/mine/export/model.onnx --site site cameras.csv --output features.npz
  fastreid adapt --model logs/mine DGMarket1501 --by norms --by-camera --output logs/mine/market
  fastreid export --model logs/mine --path posterior:logs/mine/market --output logs/mine/export
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        required=True,
        metavar="MODEL",
        help="a run; by features, also a stock model, an export or an ONNX file",
    )
    add_images(parser, nargs="*")
    parser.add_argument("--images", dest="more", nargs="+", default=[], metavar="IMAGES", help="the same as IMAGES")
    parser.add_argument("--output", required=True, metavar="DIR", help="the folder to write the site to")
    parser.add_argument("--by", choices=WAYS, help="what to adapt; default: see above")
    parser.add_argument(
        "--by-camera",
        action="store_true",
        help="with --by norms: also write a path for each camera with two or more images; --by features and --by both "
        "always work per camera, and so does adapt without --by",
    )
    parser.add_argument(
        "--prior-only-layers",
        nargs="+",
        default=[],
        metavar="NAME",
        help="by norms: BN layers that keep the statistics of the sources, by their names in the model or by "
        "patterns such as 'heads.*'",
    )
    add_hardware(parser)
    parser.add_argument(
        "--batch-size",
        type=at_least(2),
        default=256,
        metavar="N",
        help="images per batch; default: %(default)s. By norms, smaller batches need less memory, but one pass per BN "
        "layer",
    )


def run(args: Namespace) -> None:
    from ..console import say
    from ..errors import UserError
    from ..site_files import FIGURE, OFFSETS, SITE, check_output

    words = [*args.images, *args.more]
    if not words:
        raise UserError("no images: name files, folders or tables of unlabelled images of the site")
    cfg = None
    if args.by in (None, FEATURES):
        from ..inference.labelled import config_of

        cfg = config_of(args.model)
    if not args.by:
        args.by, reason = _best_way(cfg)
        args.by_camera = True
        say(f"adapting by {args.by}, because {reason}; --by chooses another way")
    if args.by == FEATURES and args.prior_only_layers:
        raise UserError("--prior-only-layers is for posterior paths: add --by norms or --by both")
    folder = Path(args.output)
    check_output(folder, [*[SITE, FIGURE] * (args.by != FEATURES), *[OFFSETS] * (args.by != NORMS)])
    if args.by == FEATURES:
        _by_features(args, words, folder, cfg)
    else:
        _by_norms(args, words, folder)
    say(f"use it with --site {folder}")


def _best_way(cfg: CfgNode | None) -> tuple[str, str]:
    """The default for --by, and why.

    Args:
        cfg: the model's, or None for an ONNX file.
    """
    if cfg is None:
        return FEATURES, "this model has no branches"
    from ..modeling import is_gdnorm

    if not is_gdnorm(cfg):
        return FEATURES, "this model has no branches"
    if len(cfg.DATASETS.NAMES) < 2:
        return FEATURES, "this run has only one source, and norms need two"
    return NORMS, "this run has branches"


def _by_features(args: Namespace, words: Sequence[str], folder: Path, cfg: CfgNode | None) -> None:
    from ..inference.offset_adaptation import adapt_offsets, with_known_camera
    from ..inference.unlabelled import site_images, without_copies

    records = with_known_camera(without_copies(site_images(words, cfg)))
    _say_offsets(adapt_offsets(_extractor(args), records, folder, args.skip_unreadable), folder)


def _by_norms(args: Namespace, words: Sequence[str], folder: Path) -> None:
    from ..inference.adaptation import Adapter, adapt_site
    from ..inference.offset_adaptation import learn_offsets, write_offsets
    from ..inference.unlabelled import by_camera, site_images, without_copies
    from ..report.posterior_figure import save_weights_figure

    learned: list[CameraOffsets] = []

    def figure(file: Path, site: SitePaths) -> None:
        save_weights_figure(file, {name: adapted.path for name, adapted in site.by_name().items()})

    def learn(part: Path) -> dict[str, object]:
        learned.append(learn_offsets(_extractor(args, f"posterior:{part}"), records, args.skip_unreadable))
        return write_offsets(part, learned[0])

    adapter = Adapter(args.model, args.device, args.batch_size, args.workers)
    records = without_copies(site_images(words, adapter.cfg))
    groups = by_camera(records) if args.by_camera or args.by == BOTH else {}
    _say_sharing(records, groups)
    how = (folder, args.prior_only_layers, args.skip_unreadable, figure, learn if args.by == BOTH else None)
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
        say(f"{len(sharing)} cameras share this path, which can do harm; --by-camera gives each camera its own")


def _say_paths(adapter: Adapter, site: SitePaths, groups: dict[str, list[Record]], folder: Path) -> None:
    from ..console import say
    from ..inference.adaptation_check import MIN_IMAGES, MIN_REPEATABILITY
    from ..inference.unlabelled import MOST_IMAGES
    from ..site_files import FIGURE

    for camera in [camera for camera in groups if camera not in site.cameras]:
        say(f"camera {camera} has only one image; using the site's path for it")
    for name, adapted in site.by_name().items():
        reliability, images = adapted.reliability, f"{adapted.path.images} images"
        if adapted.given > MOST_IMAGES:
            images = f"{adapted.path.images} of {adapted.given} images, drawn at random"
        say(f"{adapted.file} ({name}): {images}, repeatability {reliability.repeatability:.2f} of 1")
        if adapted.path.images < MIN_IMAGES:
            say(f"    fewer than {MIN_IMAGES} images can do more harm than good; add more")
        elif not reliability.is_sufficient:
            doubt = "the two halves of the images disagree; this path may be worse than not adapting. Add more images"
            say(f"    below {MIN_REPEATABILITY}: {doubt}")
    shares = ", ".join(f"{name} {share:.2f}" for name, share in zip(adapter.cfg.DATASETS.NAMES, site.whole.branches))
    say(f"similarity to the sources: {shares}\nweights by depth: {folder / FIGURE}")


def _say_offsets(offsets: CameraOffsets, folder: Path) -> None:
    from ..console import say
    from ..inference.offset_adaptation import about
    from ..site_files import OFFSETS

    say("\n".join([f"{folder / OFFSETS}: offsets of {len(offsets.cameras.names)} cameras", *about(offsets)]))
