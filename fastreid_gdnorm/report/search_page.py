"""The matches of queries in a gallery, as a page with pictures that needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..disk import write_text
from ..inference.queries import Found
from .document import Heading, HtmlBlock, Paragraph, to_html
from .thumbnails import Album, Figure, known_fields


def write_search_page(file: Path, found: Sequence[Found], introduction: str) -> None:
    """Write an HTML file: a row per query, with its matches beside it, best first."""
    rows = list(map(_figures, found))
    album = Album(rows)
    blocks: list[HtmlBlock] = [Heading(1, "Search results"), Paragraph(introduction), *map(album.row, rows)]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, to_html(blocks, album.style), errors="xmlcharrefreplace")


def _figures(found: Found) -> list[Figure]:
    query = ["query", *known_fields(found.query)]
    matches = [
        Figure(match.record.path, [f"{rank}. {verdict}", f"{match.score:.3f}", *known_fields(match.record)], verdict)
        for rank, (match, verdict) in enumerate(found.judged(), 1)
    ]
    return [Figure(found.query.path, query, "query"), *matches]
