"""Read tables of images: CSV in UTF-8 with a header. Reading is strict, since a shifted line could merge people."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Sequence

from ..errors import UserError


def read_rows(file: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read the rows of a table as {column: stripped text}; paths become relative to the table's folder.

    Args:
        columns: the allowed columns. The first one holds paths and is required.

    Raises:
        UserError: the table is missing, is not CSV in UTF-8, or has an invalid header or line.
    """
    header, *lines = _read_lines(file) or [(1, [])]
    names = [name.strip() for name in header[1]]
    _check_header(file, names, columns)
    rows: dict[str, tuple[int, dict[str, str]]] = {}
    folder, path = os.path.dirname(file), columns[0]
    found = []
    for number, fields in lines:
        if len(fields) != len(names):
            raise UserError(
                f"table {file}, line {number}: {len(fields)} fields for {len(names)} columns; put text with commas in "
                "double quotes"
            )
        if any(len(field.splitlines()) > 1 for field in fields):
            raise UserError(f"table {file}, line {number}: a field continues on the next line; close its double quote")
        row = dict(zip(names, map(str.strip, fields)))
        if not row[path]:
            raise UserError(f"table {file}, line {number}: the {path} is empty; fill it in or remove the line")
        earlier, same = rows.setdefault(row[path], (number, row))
        if row != same:
            raise UserError(
                f"table {file}: lines {earlier} and {number} contradict each other about {row[path]}; remove one"
            )
        found.append({**row, path: os.path.join(folder, row[path])})
    if not found:
        raise UserError(f"table {file} has no rows: add a line for each image")
    return found


def _read_lines(file: str) -> list[tuple[int, list[str]]]:
    """The non-empty lines, each as (line number, fields)."""
    if not os.path.isfile(file):
        raise UserError(f"table {file} does not exist: check the path")
    save_it = "save it as CSV UTF-8, with commas"
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
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
        raise UserError(
            f"table {file} cannot be read as CSV in UTF-8: line {number} has byte {byte:#x}; {save_it}"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines = []
    begins = 1
    try:
        for fields in reader:
            if fields:
                lines.append((begins, fields))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"table {file} cannot be read as CSV, line {begins}: {error}; put double quotes around a whole field, and "
            "double those inside it"
        ) from error
    return lines


def _check_header(file: str, names: Sequence[str], columns: Sequence[str]) -> None:
    path, *others = columns
    for separator, plural in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(names) == 1 and separator in names[0] and path in names[0].split(separator):
            raise UserError(f"table {file} has {plural} between its columns: save it with commas")
    if path not in names or set(names) - set(columns):
        raise UserError(
            f"table {file} has the columns {', '.join(name or '(no name)' for name in names) or 'none'}; it must have "
            f"{path} and can have {', '.join(others[:-1])} and {others[-1]}"
        )
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise UserError(f"table {file} has the column {twice} twice: remove one of them")
