"""The matches of queries in a gallery, as a page with pictures that needs no other file."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..disk import write_text
from ..errors import UserError
from ..image_loading import read_picture
from ..inference.queries import Found
from ..inference.records import Record
from .document import Heading, HtmlBlock, Paragraph, to_html

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


def write_search_page(file: Path, found: Sequence[Found], introduction: str) -> None:
    """Write an HTML file: a row per query, with its matches beside it, best first."""
    blocks: list[HtmlBlock] = [Heading(1, "Search results"), Paragraph(introduction), *map(_Row.of, found)]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, to_html(blocks), errors="xmlcharrefreplace")


class _Row(NamedTuple):
    """A query and its matches, each as (path, lines of the caption, kind)."""

    figures: list[tuple[str, list[str], str]]

    @classmethod
    def of(cls, found: Found) -> _Row:
        query = ["query", *_known(found.query)]
        matches = [
            (match.record.path, [f"{rank}. {verdict}", f"{match.score:.3f}", *_known(match.record)], verdict)
            for rank, (match, verdict) in enumerate(found.judged(), 1)
        ]
        return cls([(found.query.path, query, "query"), *matches])

    def html(self) -> str:
        return "\n".join(['<div class="thumbnails">', *(_figure(*figure) for figure in self.figures), "</div>"])


def _figure(path: str, lines: list[str], kind: str) -> str:
    caption = f"<figcaption>{'<br>'.join(map(html.escape, lines))}</figcaption>"
    return f'<figure class="{kind or "found"}" title="{html.escape(path)}">{_image(path)}{caption}</figure>'


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


def _known(record: Record) -> list[str]:
    parts = [("identity ", record.identity), ("camera ", record.camera), ("", record.time)]
    return [name + value for name, value in parts if value] or [Path(record.path).name]
