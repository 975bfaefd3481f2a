"""``fastreid index``: a gallery of your own images, to search with ``fastreid search``."""

from __future__ import annotations

import fnmatch
import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..errors import UserError
from ._model import ABOUT_IMAGES, ABOUT_MODELS, add_images, add_model, extractor_of

SUMMARY = "build a gallery of images, add to it, list or remove images"
DESCRIPTION = (
    """\
Put the features of images into a gallery: a folder in which fastreid search
finds people. Images are identified by their contents. If an image is already
in the gallery, its path, camera, time and identity are updated where you give
them. If a file now has other contents, its old entry is removed. To clear a
camera or an identity, --remove the image and index it again. It is safe to
interrupt: the gallery stays valid, and rerunning the command resumes.

"""
    + ABOUT_MODELS
    + ABOUT_IMAGES
)
EXAMPLES = """\
examples:
  fastreid index --model logs/mine crops --gallery hall
  fastreid index more/*.jpg --gallery hall               (adds images; same model and site)
  fastreid index cameras.csv --gallery hall              (adds cameras to images in the gallery)
  fastreid index --model logs/mine --site logs/mine/site cameras.csv --gallery station
  fastreid index --gallery hall --list
  fastreid index --gallery hall --remove "*/2024-05-*"
"""


def add_arguments(parser: ArgumentParser) -> None:
    add_model(parser, required=False, help="a run, an export or an ONNX file; default: the gallery's")
    parser.add_argument("--gallery", required=True, type=Path, metavar="DIR", help="the gallery's folder")
    parser.add_argument(
        "--approximate", action="store_true", help="faster searches in a large gallery, with a few misses"
    )
    parser.add_argument("--list", action="store_true", help="print a table of the images in the gallery")
    parser.add_argument(
        "--remove",
        action="append",
        default=[],
        metavar="PATTERN",
        help="remove the images whose path is, or matches, PATTERN",
    )
    add_images(parser, nargs="*")


def run(args: Namespace) -> None:
    if not (args.images or args.remove or args.list):
        raise UserError("nothing to do: name images to add, or pass --list or --remove")
    if args.images:
        _add(args)
    if args.remove:
        _remove(args)
    if args.list:
        _list(args)


def _add(args: Namespace) -> None:
    from ..console import say
    from ..disk import check_writable, locked
    from ..inference.gallery import APPROXIMATE_FROM, Gallery
    from ..inference.gallery_files import check_lists, is_gallery, read_contents, read_offsets
    from ..inference.indexing import index_images
    from ..inference.known_images import absolute
    from ..inference.records import find_images

    folder = args.gallery
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--gallery {folder} is a file: name a folder")
    check_writable(folder)
    check_lists(folder)
    if not is_gallery(folder) and not args.model:
        raise UserError(f"--gallery {folder} does not exist yet: pass --model to create it")
    records = absolute(find_images(args.images))
    known = read_contents(folder) if is_gallery(folder) else {}
    extractor = extractor_of(args, known.get("model", ""), known.get("path", ""), read_offsets(known))
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        gallery = Gallery.load(folder) if is_gallery(folder) else Gallery(extractor.description)
        gallery.check_model(extractor.description)
        compressed_at = gallery.compressed_at
        changes, left_out = index_images(gallery, folder, extractor, records, args.approximate, args.skip_unreadable)
    more = [
        f", {count} {what}"
        for count, what in (
            (left_out, "left out"),
            (changes.copies, "given more than once (the first one counts)"),
            (changes.replaced, "removed because their files have changed"),
        )
        if count
    ]
    counts = f"{changes.added} images added, {changes.updated} updated, {changes.unchanged} unchanged{''.join(more)}"
    say(f"{folder}: {counts}; {len(gallery)} in total")
    if args.approximate and not gallery.is_approximate:
        say(f"searches stay exact: with fewer than {APPROXIMATE_FROM:,} images, an approximate search is no faster")
    if gallery.compressed_at != compressed_at:
        say(f"approximate: a search finds {100 * gallery.recall(10):.1f} % of the 10 best matches")


def _remove(args: Namespace) -> None:
    from ..console import say
    from ..disk import locked
    from ..inference.gallery import Gallery

    if not args.gallery.is_dir():
        raise UserError(f"--gallery {args.gallery} does not exist")
    with locked(args.gallery):
        gallery = Gallery.load(args.gallery)
        rows = set()
        for pattern in args.remove:
            names = (pattern, os.path.abspath(pattern))  # as plain names too: as a pattern, a[1].jpg matches a1.jpg
            fitting = {
                row for row, (path, *_) in enumerate(gallery.records) if path in names or fnmatch.fnmatch(path, pattern)
            }
            if not fitting:
                raise UserError(f"--remove {pattern} matches no path in {args.gallery}; --list shows them")
            rows |= fitting
        gallery.remove(rows)
        gallery.save(args.gallery)
    say(f"{args.gallery}: {len(rows)} images removed; {len(gallery)} in total")


def _list(args: Namespace) -> None:
    from tabulate import tabulate

    from ..inference.gallery import Gallery
    from ..inference.records import Record

    gallery = Gallery.load(args.gallery)
    print(tabulate(gallery.records, Record._fields, disable_numparse=True))
    at = f" at {gallery.offsets}" if gallery.offsets else ""
    print(f"\n{len(gallery)} images; model {gallery.description.model[:16]}{at}, by {gallery.description.metric}")
