"""``fastreid group``: crops and tracks of several cameras to identities."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ._model import ABOUT_IMAGES, ABOUT_MODELS, add_images, add_model, extractor_of
from ._values import finite

if TYPE_CHECKING:
    from ..image_tables import Row

SUMMARY = "group crops and tracks of several cameras into identities"
DESCRIPTION = (
    """\
Group crops of several cameras into identities, and write them to a table: all
columns of the input, and the column identity. fastreid train and fastreid
calibrate take such a table, once you have looked through it.

Groups are merged as long as every pair of their images reaches the threshold of
fastreid calibrate (complete linkage). With known cameras, pairs within a camera
and across cameras have their own thresholds. For more and purer groups, lower
--false-accept in fastreid calibrate.

In a table, give the column track if a tracker made the crops: the images of a
track stay together and are compared by their mean feature. With the columns
camera and time, two tracks of one camera that overlap in time never become one
identity. A time is a number (a frame, or seconds), a time of day or an ISO date
and time. The names of tracks need to be unique within a camera only.

Known identities have no effect on the groups. The output replaces them, and a
line says how far both agree.

"""
    + ABOUT_MODELS
    + ABOUT_IMAGES
)
EXAMPLES = """\
examples:
  fastreid group --model logs/mine crops.csv --output identities.csv --html identities.html
  fastreid group --model logs/mine/export/model.onnx crops --output identities.csv
  fastreid group --model logs/mine --site logs/mine/site crops.csv --output identities.csv
"""


def add_arguments(parser: ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--output", required=True, type=Path, metavar="TABLE", help="the table to write, a new .csv")
    parser.add_argument(
        "--score",
        type=finite,
        metavar="S",
        help="merge groups if all scores between them are at least S; default: the thresholds of fastreid calibrate, "
        "next to the model or to TABLE",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a page with pictures")
    add_images(parser)


def run(args: Namespace) -> None:
    from ..console import say
    from ..disk import check_writable
    from ..errors import UserError
    from ..inference.extraction import extract
    from ..inference.grouping import agreement, group, overlapping_tracks
    from ..inference.identity_tables import check_output, find_rows, write_table
    from ..inference.journal import Journal
    from ..inference.records import record_of
    from ..inference.thresholds import read_threshold
    from ..report.group_page import write_group_page
    from ..report.thumbnails import check_page

    check_writable(args.output.parent)
    if args.html:
        check_page(args.html)
        check_writable(args.html.parent)
    rows = find_rows(args.images)
    check_output(args.output, rows)
    apart = overlapping_tracks(*_columns(rows))
    extractor = extractor_of(args)
    description = extractor.description
    threshold = None
    if args.score is None:
        threshold = read_threshold(extractor.model, description, args.output.parent)
        if threshold is None:
            raise UserError(
                f"{args.model} has no threshold for the same person: run fastreid calibrate on labelled images first, "
                "or pass --score"
            )
    journal = Journal(args.output.with_name(args.output.name + ".journal"), description.model)
    extraction = extract(extractor, list(map(record_of, rows)), journal, skip_unreadable=args.skip_unreadable)
    row_of = {row.path: row for row in rows}
    rows = [row_of[record.path] for record in extraction.records]
    score_for = threshold.score_for if threshold else lambda *_: args.score
    labels = group(extraction.features, *_columns(rows), score_for, description.metric)
    grouped = [row._replace(identity=str(label + 1)) for row, label in zip(rows, labels.tolist())]
    about = _about(args.output, grouped, len(apart))
    if extraction.left_out:
        about += f" {extraction.left_out} of {len(row_of)} images were left out."
    if agrees := agreement([record.identity for record in extraction.records], labels):
        about += f" {agrees}."
    write_table(args.output, grouped)
    if args.html:
        write_group_page(args.html, grouped, about)
    journal.remove()
    say(about)


def _columns(rows: Sequence[Row]) -> tuple[list[str], list[str], list[str]]:
    """Cameras, tracks and times of images. Cameras and tracks of two domains differ even if their names are equal."""
    from ..image_names import canonical_camera

    def within(row: Row, name: str) -> str:
        return f"{row.domain} {name}" if row.domain and name else name

    cameras = [within(row, canonical_camera(row.camera)) for row in rows]
    return cameras, [within(row, row.track) for row in rows], [row.time for row in rows]


def _about(file: Path, grouped: Sequence[Row], apart: int) -> str:
    from ..inference.grouping import units_of

    cameras, tracks, _ = _columns(grouped)
    seen: dict[str, set[str]] = {}
    for row, camera in zip(grouped, cameras):
        seen.setdefault(row.identity, set()).add(camera)
    several = sum(len(of_one - {""}) > 1 for of_one in seen.values())
    units = len(set(units_of(cameras, tracks).tolist()))
    in_tracks = f" in {units} tracks" if units < len(grouped) else ""
    about = f"{file}: {len(grouped)} images{in_tracks}, {len(seen)} identities, {several} of them in several cameras."
    if apart:
        about += f" {apart} pairs of tracks overlap in time and were kept apart."
    elif any(row.track for row in grouped):
        about += " No tracks of a camera are known to overlap in time, so none were kept apart."
    return about
