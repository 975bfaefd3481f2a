"""``fastreid search``: who is who in a gallery."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ._model import ABOUT_IMAGES, add_images, add_model, extractor_of
from ._values import at_least

if TYPE_CHECKING:
    from ..inference.gallery import Gallery
    from ..inference.queries import Found
    from ..inference.thresholds import Threshold

SUMMARY = "find people in a gallery: a table, JSON or a web page"
DESCRIPTION = (
    """\
Find the images in a gallery that are most similar to each query. Images with
the query's own contents are left out. Once fastreid calibrate has found a
threshold, matches that reach it are called same, and the others unknown.
Scores are cosine similarities or negative squared Euclidean distances,
depending on the model. A gallery that was built with --site is searched at
that site: it keeps a copy of the camera offsets.

"""
    + ABOUT_IMAGES
)
EXAMPLES = """\
examples:
  fastreid search --gallery hall query.jpg
  fastreid search --gallery hall queries --top 5 --exclude-same-camera --html found.html
  fastreid search --gallery hall queries.csv --rerank --json > found.jsonl
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--gallery", required=True, type=Path, metavar="DIR", help="a folder of fastreid index")
    add_model(parser, required=False, help="where the gallery's model is now; default: where it was before")
    parser.add_argument(
        "--top", type=at_least(1), default=10, metavar="N", help="matches per query; default: %(default)s"
    )
    parser.add_argument("--exclude-same-camera", action="store_true", help="leave out images from the query's camera")
    parser.add_argument(
        "--rerank", action="store_true", help="reorder the 100 best matches by the neighbours they share with the query"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON per query and nothing else")
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a page with pictures")
    add_images(parser)


def run(args: Namespace) -> None:
    from ..console import say
    from ..disk import check_writable

    if args.html:
        from ..report.thumbnails import check_page

        check_page(args.html)
        check_writable(args.html.parent)
    with contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext():
        found, about = _search(args)
    for one in found:
        print(_line_of_json(one) if args.json else _table(one))
    if not args.json:
        say(about)


def _search(args: Namespace) -> tuple[list[Found], str]:
    """The matches, and a sentence about them; also writes the page that ``--html`` asks for."""
    from ..console import say
    from ..inference.extraction import extract
    from ..inference.gallery import Gallery
    from ..inference.queries import not_excluded, search
    from ..inference.records import find_images
    from ..inference.thresholds import read_threshold

    records = find_images(args.images)
    gallery = Gallery.load(args.gallery)
    extractor = extractor_of(args, gallery.model, gallery.path, gallery.offsets)
    gallery.check_model(extractor.description)
    threshold = read_threshold(extractor.model, extractor.description, args.gallery)
    queries = extract(extractor, records, skip_unreadable=args.skip_unreadable)
    found = search(gallery, queries, args.top, args.exclude_same_camera, args.rerank, threshold)
    about = _about(args.gallery, gallery, threshold)
    if args.exclude_same_camera and (line := not_excluded(gallery, [one.query for one in found])):
        about += f" {line}."
        if args.json:
            say(line)
    if queries.left_out:
        about += f" {queries.left_out} of {len(records)} queries were left out."
    if args.html:
        from ..report.search_page import write_search_page

        write_search_page(args.html, found, about)
    return found, about


def _about(folder: Path, gallery: Gallery, threshold: Threshold | None) -> str:
    about = f"{folder}: {len(gallery)} images{f' at {gallery.offsets}' if gallery.offsets else ''}."
    if gallery.is_approximate:
        about += " The search is approximate and can miss a few of the best matches."
    if threshold is None:
        return f"{about} The score above which a match is the same person is not known; `fastreid calibrate` finds it."
    of_cameras = [
        f"{found.score:.3f} {what}"
        for found, what in ((threshold.within, "within the query's camera"), (threshold.across, "across cameras"))
        if found and found.score is not None
    ]
    known = f" ({', '.join(of_cameras)}, where cameras are known)" if of_cameras else ""
    return (
        f"{about} Matches of {threshold.score:.3f} or above{known} are called the same person. On {threshold.data}, "
        f"{100 * threshold.false_accept.value:.2g} % of the pairs of different people reach this score."
    )


def _table(found: Found) -> str:
    from tabulate import tabulate

    header = ["", "score", "", "path", "camera", "time", "identity"]
    rows = [
        [rank, f"{match.score:.3f}", verdict, _shown(match.record.path), *match.record[1:]]
        for rank, (match, verdict) in enumerate(found.judged(), 1)
    ]
    title = " ".join(filter(None, [_shown(found.query.path), *found.query[1:]]))
    return f"{title}\n{tabulate(rows, header, disable_numparse=True)}\n"


def _line_of_json(found: Found) -> str:
    matches = [
        {"rank": rank, "score": match.score, "verdict": verdict or None, **match.record._asdict()}
        for rank, (match, verdict) in enumerate(found.judged(), 1)
    ]
    threshold = found.threshold
    kinds = {kind: getattr(threshold, kind, None) for kind in ("within", "across")}
    of_cameras = {kind: one.score for kind, one in kinds.items() if one}
    scores = {"threshold": threshold.score if threshold else None, "thresholds_of_cameras": of_cameras}
    return json.dumps({"query": found.query._asdict(), **scores, "matches": matches})


def _shown(path: str) -> str:
    return min(path, os.path.relpath(path), key=len)
