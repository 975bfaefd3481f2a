"""Reads the metrics that a training has logged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import UserError


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """The records of a metrics.json, one for each iteration; if a resumed run repeated steps, the last ones.

    Raises:
        UserError: a line is not a record.
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
        raise UserError(f"{file} has a line that is not a training record ({error!r}): remove that line") from error
    return records
