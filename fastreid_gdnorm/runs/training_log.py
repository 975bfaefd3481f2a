"""What a training has written of itself while it went on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import UserError


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.json, one for each iteration; those before a return to an earlier iteration are dropped.

    Raises:
        UserError: it has other lines.
    """
    records: list[dict[str, Any]] = []
    try:
        for line in file.read_text().splitlines() if file.is_file() else ():
            record = json.loads(line)
            while records and records[-1]["iteration"] > record["iteration"]:
                records.pop()
            if records and records[-1]["iteration"] == record["iteration"]:
                record = {**records.pop(), **record}
            records.append(record)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} has a line that is not a record of a training ({error!r}): remove it") from error
    return records
