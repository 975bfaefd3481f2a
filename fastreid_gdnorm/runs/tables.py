"""A table in the forms that people and programs read."""

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
    """Write NAME.csv, NAME.json and, where there is Markdown, NAME.md into ``folder``, which is made.

    Args:
        header, rows: the lines of the CSV file.
        data: what the JSON file holds.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = io.StringIO(newline="")
    csv.writer(lines).writerows([header, *rows])
    write_text(folder / f"{name}.json", json.dumps(data, indent=2, default=float) + "\n")
    write_text(folder / f"{name}.csv", lines.getvalue())
    if markdown is not None:
        write_text(folder / f"{name}.md", markdown)
