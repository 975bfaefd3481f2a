"""A document of headings, paragraphs, tables and pictures, as one HTML file and as Markdown."""

from __future__ import annotations

import base64
import html
import mimetypes
import re
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any, NamedTuple, Protocol

from tabulate import tabulate

from .style import STYLE

PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<main>
$body
</main>
</body>
</html>
""")


class HtmlBlock(Protocol):
    """A part of a page."""

    def html(self) -> str: ...


class Block(HtmlBlock, Protocol):
    """A part of a document in both its forms."""

    def markdown(self) -> str: ...


class Heading(NamedTuple):
    """A heading; ``level`` 1 is the title."""

    level: int
    text: str

    def html(self) -> str:
        return f"<h{self.level}>{_in_html(self.text)}</h{self.level}>"

    def markdown(self) -> str:
        return f"{'#' * self.level} {_in_markdown(self.text)}"


class Paragraph(NamedTuple):
    """A paragraph; text between backticks is code."""

    text: str
    is_warning: bool = False

    def html(self) -> str:
        kind = ' class="warning"' if self.is_warning else ""
        return f"<p{kind}>{'<strong>Note:</strong> ' if self.is_warning else ''}{_in_html(self.text)}</p>"

    def markdown(self) -> str:
        return f"{'> **Note:** ' if self.is_warning else ''}{_in_markdown(self.text)}"


class Cell(NamedTuple):
    """A table cell that holds a number, perhaps with its difference from another run's."""

    text: str
    delta: float | None = None


class Table(NamedTuple):
    """A table of strings and Cells, in which each row starts with a string. With a title, it is folded at first."""

    headers: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str = ""

    def html(self) -> str:
        head = "".join(f'<th scope="col">{_in_html(text)}</th>' for text in self.headers)
        rows = "\n".join(
            f'<tr><th scope="row">{_in_html(first)}</th>{"".join(map(_html_cell, cells))}</tr>'
            for first, *cells in self.rows
        )
        table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
        box = f'<div class="scroll" tabindex="0" role="region" aria-label="table">\n{table}\n</div>'
        return f"<details>\n<summary>{_in_html(self.title)}</summary>\n{box}\n</details>" if self.title else box

    def markdown(self) -> str:
        rows = [[_markdown_cell(cell) for cell in row] for row in self.rows]
        headers = [_markdown_cell(text) for text in self.headers]
        table = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
        folded = f"<details><summary>{_in_markdown(self.title)}</summary>\n\n{table}\n\n</details>"
        return folded if self.title else table


class Pictures(NamedTuple):
    """Image files in one folder with their captions, [(file, caption)], side by side where there is room.

    Wide pictures stay readable: on a small screen they scroll sideways.
    """

    pictures: Sequence[tuple[Path, str]]
    is_wide: bool = False

    def html(self) -> str:
        figures = [_html_figure(file, caption) for file, caption in self.pictures]
        return "\n".join([f'<div class="{"wide" if self.is_wide else "pictures"}">', *figures, "</div>"])

    def markdown(self) -> str:
        return "\n\n".join(
            f"![{_in_markdown(caption)}]({file.name})\n\n{_in_markdown(caption)}" for file, caption in self.pictures
        )


def to_html(blocks: Sequence[HtmlBlock], style: str = "") -> str:
    """A complete page that needs no other file; its title is the first heading, and ``style`` adds to its CSS."""
    title = next(block.text for block in blocks if isinstance(block, Heading))
    body = "\n".join(block.html() for block in blocks)
    return PAGE.substitute(title=html.escape(title), style=STYLE + style, body=body)


def to_markdown(blocks: Sequence[Block]) -> str:
    """The same as Markdown, which refers to pictures in its own folder."""
    return "\n\n".join(block.markdown() for block in blocks) + "\n"


def _html_figure(file: Path, caption: str) -> str:
    data = base64.b64encode(file.read_bytes()).decode()
    image = f'<img src="data:{mimetypes.guess_type(file.name)[0]};base64,{data}" alt="{html.escape(caption)}">'
    box = f'<div class="scroll" tabindex="0" role="region" aria-label="picture">{image}</div>'
    return f"<figure>{box}<figcaption>{_in_html(caption)}</figcaption></figure>"


def _html_cell(cell: str | Cell) -> str:
    if isinstance(cell, str):
        return f"<td>{_in_html(cell)}</td>"
    if cell.delta is None:
        return f'<td class="number">{_in_html(cell.text)}</td>'
    kind = "up" if cell.delta > 0 else "down" if cell.delta < 0 else "same"
    return f'<td class="number">{_in_html(cell.text)} <span class="{kind}">{cell.delta:+.1f}</span></td>'


def _markdown_cell(cell: str | Cell) -> str:
    text = cell if isinstance(cell, str) else cell.text if cell.delta is None else f"{cell.text} ({cell.delta:+.1f})"
    return _in_markdown(text).replace("|", "\\|")


def _in_html(text: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _in_markdown(text: str) -> str:
    return html.escape(text, quote=False)
