"""Thumbnails of images with captions, for pages that need no other file."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..console import progress
from ..errors import UserError
from ..image_loading import read_picture
from ..inference.feature_extractor import prepared_ahead
from ..inference.records import Record

DOCTYPE = b"<!doctype html"  # the first bytes of a page, in lower case
THUMBNAIL, QUALITY = (64, 128), 40  # maximum width and height in pixels; WebP's quality, of 100
AHEAD = 64  # images that threads read ahead


def check_page(file: Path) -> None:
    """Check that writing a page to ``file`` overwrites at most another page.

    Raises:
        UserError: it is a folder, or a file that is not a page, such as a query image.
    """
    if file.is_dir():
        raise UserError(f"--html {file} is a folder: name a file")
    if file.is_file() and file.stat().st_size:
        with open(file, "rb") as stream:
            if stream.read(len(DOCTYPE)).lower() != DOCTYPE:
                raise UserError(f"--html {file} already exists and is not an HTML page: choose another file")


class Figure(NamedTuple):
    """An image with the lines of its caption. ``kind``, such as "query" or "same", decides the colour of its frame."""

    path: str
    caption: list[str]
    kind: str = ""


class Album:
    """The thumbnails of a page, which embeds each image once, however often it shows it.

    Args:
        rows: the figures of the page.

    Attributes:
        style: CSS of the page.
    """

    def __init__(self, rows: Iterable[Sequence[Figure]]) -> None:
        paths = list(dict.fromkeys(figure.path for row in rows for figure in row))
        self._class_of: dict[str, str] = {}
        rules: list[str] = []
        with progress("thumbnails", len(paths)) as advance:
            for path, data in zip(paths, prepared_ahead(_webp, paths, AHEAD)):
                if data:
                    self._class_of[path] = f"i{len(rules)}"
                    rules.append(f".i{len(rules)}{{background-image:url(data:image/webp;base64,{data})}}\n")
                advance(1)
        self.style = "".join(rules)

    def row(self, figures: Sequence[Figure]) -> Thumbnails:
        """The figures side by side."""
        return Thumbnails(figures, self._class_of)


class Thumbnails(NamedTuple):
    """A row of an :class:`Album`."""

    figures: Sequence[Figure]
    class_of: Mapping[str, str]

    def html(self) -> str:
        return "\n".join(['<div class="thumbnails">', *map(self._figure, self.figures), "</div>"])

    def _figure(self, figure: Figure) -> str:
        path, lines, kind = figure
        image = '<div class="missing">no longer readable</div>'
        if path in self.class_of:
            image = f'<div class="{self.class_of[path]}" role="img" aria-label="{html.escape(Path(path).name)}"></div>'
        caption = f"<figcaption>{'<br>'.join(map(html.escape, lines))}</figcaption>"
        return f'<figure class="{kind or "found"}" title="{html.escape(path)}">{image}{caption}</figure>'


def known_fields(record: Record) -> list[str]:
    """The known fields of a record, as lines of a caption; the file's name if none is known."""
    return caption(record.path, ("identity ", record.identity), ("camera ", record.camera), ("", record.time))


def caption(path: str, *fields: tuple[str, str]) -> list[str]:
    """The known ones of an image's fields, given as (label, value), as lines of a caption; else its file's name."""
    return [label + value for label, value in fields if value] or [Path(path).name]


def _webp(path: str) -> str:
    """An image's thumbnail in base64; "" if it cannot be read."""
    try:
        picture = read_picture(path)
    except UserError:
        return ""
    picture.thumbnail(THUMBNAIL)
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=QUALITY)
    return base64.b64encode(stream.getvalue()).decode()
