"""Saves a table for people and programs to read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..disk import write_text


def save_table(
    folder: str | Path,
    name: str,
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    data: object,
    markdown: str | None = None,
) -> None:
    """Write NAME.csv, NAME.json and, if ``markdown`` is given, NAME.md to ``folder``, creating it if needed.

    Args:
        header, rows: the lines of the CSV file.
        data: the contents of the JSON file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = io.StringIO(newline="")
    csv.writer(lines).writerows([header, *rows])
    write_text(folder / f"{name}.json", json.dumps(data, indent=2, default=float) + "\n")
    write_text(folder / f"{name}.csv", lines.getvalue())
    if markdown is not None:
        write_text(folder / f"{name}.md", markdown)
