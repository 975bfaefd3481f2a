"""The tables of ``fastreid group``: crops and tracks in, the same with identities out."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from ..disk import write_text
from ..errors import UserError
from ..image_tables import COLUMNS, Row, is_table, read_table
from .moments import moment
from .records import find_images

SUFFIX = ".csv"


def find_rows(sources: Sequence[str]) -> list[Row]:
    """Find the images named on a command line, as :func:`find_images` does, with their tracks; each path once.

    Raises:
        UserError: as :func:`find_images`, or the time of a track cannot be read.
    """
    rows: list[Row] = []
    for source in sources:
        if is_table(source):
            rows += read_table(source)
        else:
            rows += [Row(**record._asdict()) for record in find_images([source])]
    for row in rows:
        if row.track and row.time:
            try:
                moment(row.time)
            except UserError as error:
                raise UserError(f"{row.place}: {error}") from error
    return list({row.path: row for row in rows}.values())


def check_output(file: Path, rows: Sequence[Row]) -> None:
    """Check before a long extraction that a table of the images can be written to ``file``.

    Raises:
        UserError: its suffix is wrong, it exists, or a path is not UTF-8.
    """
    if file.suffix != SUFFIX:
        raise UserError(f"--output {file} must end in {SUFFIX}")
    if file.exists():
        raise UserError(f"--output {file} already exists: remove it, or choose another file")
    for row in rows:
        if any("\udc80" <= letter <= "\udcff" for letter in row.path):  # a byte that is not UTF-8
            raise UserError(f"{row.path!a} is not UTF-8, as a table must be: rename it")


def write_table(file: Path, rows: Sequence[Row]) -> None:
    """Write a table that :func:`read_table` reads, with the columns that any row has.

    Paths become relative to the table's folder; absolute ones stay absolute for images elsewhere.
    """
    columns = [name for name in COLUMNS if any(getattr(row, name) for row in rows)]
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(columns)
    for row in rows:
        row = row._replace(path=_from_folder(file.parent, row.path))
        lines.writerow([getattr(row, name) for name in columns])
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, text.getvalue())


def _from_folder(folder: Path, path: str) -> str:
    parent, name = os.path.split(path)
    relative = os.path.relpath(os.path.join(os.path.realpath(parent), name), os.path.realpath(folder))
    return path if os.path.isabs(path) and relative.startswith(os.pardir) else relative
