"""Thumbnails of images with captions, for pages that need no other file."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from ..image_loading import read_picture
from ..inference.records import Record

DOCTYPE = b"<!doctype html"  # the first bytes of a page, in lower case
THUMBNAIL = (96, 192)  # maximum width and height in pixels


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


class Thumbnails(NamedTuple):
    """Images side by side, each as (path, lines of the caption, kind); the kind decides the colour of its frame."""

    figures: list[tuple[str, list[str], str]]

    def html(self) -> str:
        return "\n".join(['<div class="thumbnails">', *(_figure(*figure) for figure in self.figures), "</div>"])


def known_fields(record: Record) -> list[str]:
    """The known fields of a record, as lines of a caption; the file's name if none is known."""
    return caption(record.path, ("identity ", record.identity), ("camera ", record.camera), ("", record.time))


def caption(path: str, *fields: tuple[str, str]) -> list[str]:
    """The known ones of an image's fields, given as (label, value), as lines of a caption; else its file's name."""
    return [label + value for label, value in fields if value] or [Path(path).name]


def _figure(path: str, lines: list[str], kind: str) -> str:
    figcaption = f"<figcaption>{'<br>'.join(map(html.escape, lines))}</figcaption>"
    return f'<figure class="{kind or "found"}" title="{html.escape(path)}">{_image(path)}{figcaption}</figure>'


def _image(path: str) -> str:
    try:
        picture = read_picture(path)
    except UserError:
        return '<div class="missing">no longer readable</div>'
    picture.thumbnail(THUMBNAIL)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=85)
    data = base64.b64encode(stream.getvalue()).decode()
    return f'<img src="data:image/jpeg;base64,{data}" alt="{html.escape(Path(path).name)}">'
