"""A table in the forms that people and programs read."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path


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
    (folder / f"{name}.json").write_text(json.dumps(data, indent=2, default=float) + "\n")
    with open(folder / f"{name}.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    if markdown is not None:
        (folder / f"{name}.md").write_text(markdown)
