"""``fastreid adapt``: the posterior path of a site, or of each of its cameras, by unlabelled images."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ._values import at_least, device

SUMMARY = "fit a trained model to a site by unlabelled images of it, without training"
DESCRIPTION = (
    "Take the statistics of unlabelled images of where the model is to be used, and weigh them in every\n"
    "BN layer against those of the sources, by how much domains differ and how much images vary. The result is a path\n"
    "through the same weights: fastreid eval, export, extract and index follow it by --path posterior:DIR.\n\n"
    "IMAGES are crops as the detector will give them: files, folders, patterns in quotes, tables with a column\n"
    "path (and camera), or a data set of fast-reid's registry, of which the training images are taken, without\n"
    "their labels. Give 16 to 64 of different people, of all hours, from each camera, and --by-camera: a path for\n"
    "each camera has helped in most places, while one that cameras share has done harm to networks that had seen\n"
    "many domains. With the very images that the model is then tested on, the test is transductive, which fastreid\n"
    "eval says.\n\n"
    "MODEL is a run's folder. One that was trained without GDNorm gets a branch for each of its sources, which must\n"
    "be at hand. The images' names, or the table, say the cameras for --by-camera, and later which path an image\n"
    "follows: 1, 01, c1 and cam-1 are one camera. Images of other cameras, or of unknown ones, follow the site's\n"
    "path, and a line counts them. Copies of an image count once. In DIR only files of an earlier adaptation are\n"
    "replaced."
)
EXAMPLES = """\
examples:
  fastreid adapt --model logs/mine --images crops/ --by-camera --output logs/mine/site
  fastreid eval --config-file logs/mine/config.yaml --path posterior:logs/mine/site
  fastreid adapt --model logs/mine --images DGMarket1501 --by-camera --output logs/mine/market
  fastreid export --config-file logs/mine/config.yaml --path posterior:logs/mine/market --output logs/mine/export
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="MODEL", help="a run's folder")
    parser.add_argument("--images", required=True, nargs="+", metavar="IMAGES", help="unlabelled, of the site")
    parser.add_argument("--output", required=True, metavar="DIR", help="where the paths go")
    parser.add_argument("--by-camera", action="store_true", help="also a path for each camera that has two images")
    parser.add_argument(
        "--prior-only-layers",
        nargs="+",
        default=[],
        metavar="NAME",
        help="BN layers that keep the sources' statistics: names as in the model, or patterns such as 'heads.*'",
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
        help="up to so many images take one pass, more take one for each BN layer; default: %(default)s",
    )
    parser.add_argument(
        "--workers", type=at_least(0), default=0, metavar="N", help="threads that read images; default: cores"
    )


def run(args: Namespace) -> None:
    from pathlib import Path

    from ..console import say
    from ..errors import UserError
    from ..image_names import canonical_camera
    from ..inference.adaptation import Adapter, Site, adapt_site, by_camera, check_output, site_images
    from ..inference.contents import distinct
    from ..inference.guard import ENOUGH, FEWEST
    from ..report.posterior_figure import save_weights_figure

    def draw(file: Path, site: Site) -> None:
        save_weights_figure(file, {name: adapted.path for name, adapted in site.by_name().items()})

    if args.batch_size < 2:
        raise UserError(f"--batch-size is 2 or more, got {args.batch_size}")
    folder = Path(args.output)
    check_output(folder)
    adapter = Adapter(args.model, args.device, args.batch_size, args.workers)
    records, copies = distinct(site_images(args.images, adapter.cfg))
    if copies:
        say(f"{len(copies)} images are copies of others and count once, such as {copies[0][0].path}")
    groups = by_camera(records) if args.by_camera else {}
    sharing = {canonical_camera(record.camera) for record in records if record.camera}
    if not groups and len(sharing) > 1:
        say(f"{len(sharing)} cameras share this path, which may do harm: --by-camera gives each its own")
    site = adapt_site(adapter, records, groups, folder, args.prior_only_layers, args.skip_unreadable, draw)
    for camera in [camera for camera in groups if camera not in site.cameras]:
        say(f"camera {camera} has only one image; using the site's path for it")
    all_of_them = site.by_name()
    for name, adapted in all_of_them.items():
        verdict = adapted.verdict
        say(f"{adapted.file} ({name}): {adapted.path.images} images, repeatability {verdict.repeatability:.2f} of 1")
        if adapted.path.images < FEWEST:
            say(f"    fewer than {FEWEST} images sometimes do more harm than good: give it more")
        elif not verdict.trusts:
            doubt = "the two halves of the images disagree; this path may be worse than not adapting. Add more images"
            say(f"    below {ENOUGH}: {doubt}")
    shares = ", ".join(f"{name} {share:.2f}" for name, share in zip(adapter.cfg.DATASETS.NAMES, site.whole.branches))
    say(f"near the sources by {shares}\nweights by depth: {folder / 'weights.png'}\nuse it: --path posterior:{folder}")
