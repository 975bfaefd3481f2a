"""The identities that crops were grouped into, as a page with pictures that needs no other file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from ..disk import write_text
from ..image_tables import Row
from .document import Heading, HtmlBlock, Paragraph, to_html
from .thumbnails import Album, Figure, caption

MOST_IDENTITIES, MOST_IMAGES = 200, 12  # identities on a page, and images of each


def write_group_page(file: Path, rows: Sequence[Row], introduction: str) -> None:
    """Write an HTML file: a section per identity, the largest first, with some images of each of its cameras.

    Args:
        rows: the images; their identities are those that they were grouped into.
    """
    people: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        people[row.identity].append(row)
    largest = sorted(people.values(), key=len, reverse=True)[:MOST_IDENTITIES]
    album = Album(figures_of := [[_figure(row) for row in _spread(images)] for images in largest])
    blocks: list[HtmlBlock] = [Heading(1, "Identities"), Paragraph(introduction)]
    if len(people) > len(largest):
        blocks.append(Paragraph(f"This page shows the {len(largest)} largest of {len(people)} identities.", True))
    for images, figures in zip(largest, figures_of):
        blocks += [Heading(3, _title(images)), album.row(figures)]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, to_html(blocks, album.style), errors="xmlcharrefreplace")


def _title(images: Sequence[Row]) -> str:
    count, cameras = len(images), sorted({row.camera for row in images if row.camera})
    of_cameras = f", cameras {', '.join(cameras)}" if cameras else ""
    shown = f", {MOST_IMAGES} of them shown" if count > MOST_IMAGES else ""
    return f"Identity {images[0].identity}: {count} {'images' if count > 1 else 'image'}{of_cameras}{shown}"


def _spread(images: Sequence[Row]) -> list[Row]:
    """MOST_IMAGES of the images, evenly over the cameras and tracks."""
    ordered = sorted(images, key=lambda row: (row.camera, row.track, row.time, row.path))
    shown = min(len(ordered), MOST_IMAGES)
    return [ordered[place * len(ordered) // shown] for place in range(shown)]


def _figure(row: Row) -> Figure:
    return Figure(row.path, caption(row.path, ("camera ", row.camera), ("track ", row.track), ("", row.time)))
