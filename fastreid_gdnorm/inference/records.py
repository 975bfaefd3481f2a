"""What is known of an image beside its pixels: camera, time and identity, from its name or a table."""

from __future__ import annotations

import csv
import glob
import os
from collections.abc import Iterable
from typing import NamedTuple

from ..errors import UserError
from ..image_loading import list_folder
from ..image_names import NAME


class Record(NamedTuple):
    """An image and what is known of it; what is not known is empty."""

    path: str
    camera: str = ""
    time: str = ""
    identity: str = ""


def find_images(words: Iterable[str]) -> list[Record]:
    """The images that a command line names: files, folders, globs in quotes, and tables.

    A table is a CSV file with the column ``path``, relative to the table's folder, and any of ``camera``, ``time`` and
    ``identity``. Other images' are read off names like Market-1501's, in which no identity is below 1: 0 and -1 stand
    for distractors and junk.

    Raises:
        UserError: there is no such file, no image in a folder, or the table has other columns.
    """
    records = []
    for word in words:
        if word.lower().endswith(".csv"):
            records += _read_table(word)
        elif os.path.isdir(word):
            records += map(_from_name, list_folder(word))
        elif os.path.isfile(word):
            records.append(_from_name(word))
        else:
            found = sorted(path for path in glob.glob(word, recursive=True) if os.path.isfile(path))
            if not found:
                raise UserError(f"{word} is no file, no folder, and no pattern that any file matches")
            records += map(_from_name, found)
    return records


def _from_name(path: str) -> Record:
    match = NAME.match(os.path.basename(path))
    if not match:
        return Record(path)
    identity = int(match["identity"])
    return Record(path, str(int(match["camera"])), match["time"], str(identity) if identity > 0 else "")


def _read_table(file: str) -> list[Record]:
    if not os.path.isfile(file):
        raise UserError(f"table {file} is not there")
    try:
        with open(file, newline="", encoding="utf-8-sig") as lines:
            table = csv.DictReader(lines)
            columns, rows = list(table.fieldnames or ()), list(table)
    except (OSError, UnicodeError, csv.Error) as error:
        raise UserError(f"table {file} cannot be read as CSV in UTF-8 ({error})") from error
    if "path" not in columns or set(columns) - set(Record._fields):
        raise UserError(
            f"table {file} has the columns {', '.join(columns) or 'none'}; it must have path, and may have camera, "
            "time and identity"
        )
    if not rows:
        raise UserError(f"table {file} has no rows")
    folder = os.path.dirname(file)
    known = [{key: (row[key] or "").strip() for key in columns} for row in rows]
    return [Record(**{**row, "path": os.path.join(folder, row["path"])}) for row in known]
