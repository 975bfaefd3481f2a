"""Read tables of images: CSV in UTF-8 with a header. Reading is strict, since a shifted line could merge people."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Sequence
from typing import NamedTuple

from .errors import UserError

SUFFIXES = (".csv", ".tsv")
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SPLITS = ("train", "query", "gallery")
NOBODY = ("-1", "-1.0")  # identity of junk images in Market-1501, and of unmatched crops of trackers


class Row(NamedTuple):
    """An image of a table or of a folder; unknown fields are empty.

    Args:
        path: the image file. In a table it is relative to the table's folder.
        split: train, query or gallery.
        track: images of one track show one person, seen by one camera without a break.
        domain: the source that the image belongs to, where one table holds several.
        place: where the row is, for messages: "table shop.csv, line 7".
    """

    path: str
    camera: str = ""
    time: str = ""
    identity: str = ""
    split: str = ""
    track: str = ""
    domain: str = ""
    place: str = ""


COLUMNS = Row._fields[:-1]


def is_table(name: str) -> bool:
    """Whether a name has the suffix of a table and is not a folder."""
    return name.lower().endswith(SUFFIXES) and not os.path.isdir(name)


def read_table(file: str) -> list[Row]:
    """Read a table. Its columns are :data:`COLUMNS`, in any order; ``path`` is required.

    Columns are separated by commas, semicolons, tabs or bars; the header shows by which. Identity -1, like an empty
    one, means no known person; -1.0 is how pandas writes it into a column with empty fields.

    Raises:
        UserError: the table is missing, is not CSV in UTF-8, or has an invalid header or line.
    """
    text = _read_text(file)
    separator = _separator(text)
    header, *lines = _split(file, text, separator) or [(1, [])]
    names = [name.strip() for name in header[1]]
    _check_header(file, names)
    rows: dict[str, tuple[int, Row]] = {}
    folder, found = os.path.dirname(file), []
    for number, fields in lines:
        place = f"table {file}, line {number}"
        if len(fields) != len(names):
            raise UserError(
                f"{place}: {len(fields)} fields for {len(names)} columns; put text with {SEPARATORS[separator]} in "
                "double quotes"
            )
        if any(len(field.splitlines()) > 1 for field in fields):
            raise UserError(f"{place}: a field continues on the next line; close its double quote")
        row = checked_row(place, **dict(zip(names, map(str.strip, fields))))
        earlier, same = rows.setdefault(os.path.normpath(row.path), (number, row))
        if row[1:-1] != same[1:-1]:
            raise UserError(
                f"table {file}: lines {earlier} and {number} contradict each other about {row.path}; remove one"
            )
        found.append(row._replace(path=os.path.join(folder, row.path)))
    if not found:
        raise UserError(f"table {file} has no rows: add a line for each image")
    return found


def checked_row(place: str, **fields: str) -> Row:
    """The row with these fields; identity -1 becomes an empty one.

    Raises:
        UserError: the path is empty or the split is unknown.
    """
    row = Row(**fields, place=place)
    if not row.path:
        raise UserError(f"{place}: the path is empty; fill it in or remove the line")
    if row.split and row.split not in SPLITS:
        raise UserError(f"{place}: the split must be {', '.join(SPLITS[:-1])} or {SPLITS[-1]}; got {row.split!r}")
    return row._replace(identity="") if row.identity in NOBODY else row


def _read_text(file: str) -> str:
    if not os.path.isfile(file):
        raise UserError(f"table {file} does not exist: check the path")
    save_it = "save it as CSV UTF-8"
    try:
        with open(file, "rb") as stream:
            data = stream.read()
    except OSError as error:
        raise UserError(f"table {file} cannot be read ({error.strerror}): check its permissions") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data:
        raise UserError(
            f"table {file} cannot be read as CSV in UTF-8: it looks like UTF-16 or has NUL bytes; {save_it}"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
        raise UserError(
            f"table {file} cannot be read as CSV in UTF-8: line {number} has byte {byte:#x}; {save_it}"
        ) from error


def _separator(text: str) -> str:
    """The separator by which the first line that is not empty has a column ``path``; a comma if there is none."""
    header = next(filter(str.strip, text.splitlines()), "")
    for separator in SEPARATORS:
        if COLUMNS[0] in (name.strip().strip('"').strip() for name in header.split(separator)):
            return separator
    return ","


def _split(file: str, text: str, separator: str) -> list[tuple[int, list[str]]]:
    """The non-empty lines, each as (line number, fields)."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    lines = []
    begins = 1
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                lines.append((begins, fields))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"table {file} cannot be read as CSV, line {begins}: {error}; put double quotes around a whole field, and "
            "double those inside it"
        ) from error
    return lines


def _check_header(file: str, names: Sequence[str]) -> None:
    path, *others = COLUMNS
    if path not in names or set(names) - set(COLUMNS):
        raise UserError(
            f"table {file} has the columns {', '.join(name or '(no name)' for name in names) or 'none'}; it must have "
            f"{path} and can have {', '.join(others[:-1])} and {others[-1]}"
        )
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise UserError(f"table {file} has the column {twice} twice: remove one of them")
