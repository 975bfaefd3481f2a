"""``fastreid index``: a gallery of your own images, to search with ``fastreid search``."""

from __future__ import annotations

import fnmatch
import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..errors import UserError
from ._model import ABOUT_IMAGES, ABOUT_MODELS, add_images, add_model, extractor_of

SUMMARY = "build a gallery of your own images, or add to it; list and remove what is in one"
DESCRIPTION = (
    "Put the features of images into a gallery, a folder that fastreid search finds people in. Images whose\n"
    "contents are there already are not added again. Whenever it is stopped, the gallery is as before or complete,\n"
    "and the same command goes on where it was.\n\n" + ABOUT_MODELS + ABOUT_IMAGES
)
EXAMPLES = """\
examples:
  fastreid index --model logs/mine crops --gallery site
  fastreid index more/*.jpg --gallery site                    (adds to it, by the same model)
  fastreid index --gallery site --list
  fastreid index --gallery site --remove "*/2024-05-*"
"""


def add_arguments(parser: ArgumentParser) -> None:
    add_model(parser, required=False, help="a run, an export or an ONNX file; default: the one the gallery was made by")
    parser.add_argument("--gallery", required=True, type=Path, metavar="DIR", help="the gallery's folder")
    parser.add_argument("--approximate", action="store_true", help="search a large gallery faster, and miss a little")
    parser.add_argument("--list", action="store_true", help="print a table of what is in it")
    parser.add_argument(
        "--remove", action="append", default=[], metavar="PATTERN", help="take out images by their path"
    )
    add_images(parser, nargs="*")


def run(args: Namespace) -> None:
    if not (args.images or args.remove or args.list):
        raise UserError("name IMAGES to add, or --list or --remove")
    if args.images:
        _add(args)
    if args.remove:
        _remove(args)
    if args.list:
        _list(args)


def _add(args: Namespace) -> None:
    from ..console import say
    from ..disk import locked
    from ..inference.extraction import extract
    from ..inference.gallery import Gallery
    from ..inference.gallery_files import JOURNAL, is_gallery, read_contents
    from ..inference.journal import Journal
    from ..inference.records import find_images

    folder = args.gallery
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--gallery {folder} is a file: name a folder")
    if not is_gallery(folder) and not args.model:
        raise UserError(f"--gallery {folder} is not there yet: name the --model to make it with")
    records = [record._replace(path=os.path.abspath(record.path)) for record in find_images(args.images)]
    known = read_contents(folder) if is_gallery(folder) else {}
    extractor = extractor_of(args, known.get("model", ""), known.get("path", ""))
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        gallery = Gallery.load(folder) if is_gallery(folder) else Gallery(extractor.description)
        gallery.check_model(extractor.description)
        gallery.model, gallery.path = extractor.model, extractor.path
        gallery.approximate = gallery.approximate or args.approximate
        journal = Journal(folder / JOURNAL, extractor.description.model)
        extraction = extract(extractor, records, journal, gallery.digests, args.skip_unreadable)
        added = gallery.add(extraction)
        gallery.save(folder)
        journal.remove()
    say(f"{folder}: {added} images added, {len(records) - added} were there already or left out; {len(gallery)} in all")
    if gallery.is_approximate:
        say(f"approximate: a search finds {100 * gallery.recall(10):.1f} % of the 10 best matches among all images")


def _remove(args: Namespace) -> None:
    from ..console import say
    from ..disk import locked
    from ..inference.gallery import Gallery

    if not args.gallery.is_dir():
        raise UserError(f"--gallery {args.gallery} is not there")
    with locked(args.gallery):
        gallery = Gallery.load(args.gallery)
        rows = {
            row
            for row, record in enumerate(gallery.records)
            if any(fnmatch.fnmatch(record.path, pattern) for pattern in args.remove)
        }
        if not rows:
            raise UserError(f"--remove {' '.join(args.remove)} matches no path in {args.gallery}; --list shows them")
        gallery.remove(rows)
        gallery.save(args.gallery)
    say(f"{args.gallery}: {len(rows)} images removed; {len(gallery)} in all")


def _list(args: Namespace) -> None:
    from tabulate import tabulate

    from ..inference.gallery import Gallery
    from ..inference.records import Record

    gallery = Gallery.load(args.gallery)
    print(tabulate(gallery.records, Record._fields, disable_numparse=True))
    print(f"\n{len(gallery)} images; model {gallery.description.model[:16]}, by {gallery.description.metric}")
