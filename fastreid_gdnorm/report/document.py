"""A document of headings, paragraphs, tables and pictures, written as one HTML file and as Markdown."""

import base64
import html
import mimetypes
import re
from pathlib import Path
from string import Template
from typing import NamedTuple, Optional

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


class Heading(NamedTuple):
    """A heading; ``level`` 1 is the title."""

    level: int
    text: str

    def html(self):
        return f"<h{self.level}>{_in_html(self.text)}</h{self.level}>"

    def markdown(self):
        return f"{'#' * self.level} {_in_markdown(self.text)}"


class Paragraph(NamedTuple):
    """A paragraph; what is between backticks is code."""

    text: str
    is_warning: bool = False

    def html(self):
        kind = ' class="warning"' if self.is_warning else ""
        return f"<p{kind}>{'<strong>Note:</strong> ' if self.is_warning else ''}{_in_html(self.text)}</p>"

    def markdown(self):
        return f"{'> **Note:** ' if self.is_warning else ''}{_in_markdown(self.text)}"


class Cell(NamedTuple):
    """A table's cell with a difference to something."""

    text: str
    delta: Optional[float] = None


class Table(NamedTuple):
    """A table of texts and Cells; one with a title is folded until it is asked for."""

    headers: list
    rows: list
    title: str = ""

    def html(self):
        head = "".join(f'<th scope="col">{_in_html(text)}</th>' for text in self.headers)
        rows = "\n".join(
            f'<tr><th scope="row">{_in_html(first)}</th>{"".join(map(_html_cell, cells))}</tr>'
            for first, *cells in self.rows
        )
        table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
        box = f'<div class="scroll" tabindex="0" role="region" aria-label="table">\n{table}\n</div>'
        return f"<details>\n<summary>{_in_html(self.title)}</summary>\n{box}\n</details>" if self.title else box

    def markdown(self):
        rows = [[_markdown_cell(cell) for cell in row] for row in self.rows]
        headers = [_markdown_cell(text) for text in self.headers]
        table = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
        folded = f"<details><summary>{_in_markdown(self.title)}</summary>\n\n{table}\n\n</details>"
        return folded if self.title else table


class Pictures(NamedTuple):
    """Image files of one folder with their captions, [(file, caption)], side by side where there is room.

    Wide ones keep a width at which they can be read, and are moved sideways on a small screen.
    """

    pictures: list
    is_wide: bool = False

    def html(self):
        figures = [_html_figure(Path(file), caption) for file, caption in self.pictures]
        return "\n".join([f'<div class="{"wide" if self.is_wide else "pictures"}">', *figures, "</div>"])

    def markdown(self):
        return "\n\n".join(
            f"![{_in_markdown(caption)}]({file.name})\n\n{_in_markdown(caption)}" for file, caption in self.pictures
        )


def to_html(blocks):
    """A whole page that needs no other file."""
    body = "\n".join(block.html() for block in blocks)
    return PAGE.substitute(title=html.escape(blocks[0].text), style=STYLE, body=body)


def to_markdown(blocks):
    """The same as Markdown, with the pictures beside it."""
    return "\n\n".join(block.markdown() for block in blocks) + "\n"


def _html_figure(file, caption):
    data = base64.b64encode(file.read_bytes()).decode()
    image = f'<img src="data:{mimetypes.guess_type(file.name)[0]};base64,{data}" alt="{html.escape(caption)}">'
    box = f'<div class="scroll" tabindex="0" role="region" aria-label="picture">{image}</div>'
    return f"<figure>{box}<figcaption>{_in_html(caption)}</figcaption></figure>"


def _html_cell(cell):
    if isinstance(cell, str):
        return f"<td>{_in_html(cell)}</td>"
    if cell.delta is None:
        return f'<td class="number">{_in_html(cell.text)}</td>'
    kind = "up" if cell.delta > 0 else "down" if cell.delta < 0 else "same"
    return f'<td class="number">{_in_html(cell.text)} <span class="{kind}">{cell.delta:+.1f}</span></td>'


def _markdown_cell(cell):
    text = cell if isinstance(cell, str) else cell.text if cell.delta is None else f"{cell.text} ({cell.delta:+.1f})"
    return _in_markdown(text).replace("|", "\\|")


def _in_html(text):
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _in_markdown(text):
    return html.escape(text, quote=False)
