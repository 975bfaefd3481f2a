"""The matches of queries in a gallery, as a page with pictures that needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..disk import write_text
from ..inference.queries import Found
from .document import Heading, HtmlBlock, Paragraph, to_html
from .thumbnails import Thumbnails, known_fields


def write_search_page(file: Path, found: Sequence[Found], introduction: str) -> None:
    """Write an HTML file: a row per query, with its matches beside it, best first."""
    blocks: list[HtmlBlock] = [Heading(1, "Search results"), Paragraph(introduction), *map(_row, found)]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, to_html(blocks), errors="xmlcharrefreplace")


def _row(found: Found) -> Thumbnails:
    query = ["query", *known_fields(found.query)]
    matches = [
        (match.record.path, [f"{rank}. {verdict}", f"{match.score:.3f}", *known_fields(match.record)], verdict)
        for rank, (match, verdict) in enumerate(found.judged(), 1)
    ]
    return Thumbnails([(found.query.path, query, "query"), *matches])
