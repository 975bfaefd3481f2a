"""The paper's numbers."""

from __future__ import annotations

import csv
from functools import cache
from typing import NamedTuple

from ..runs.run_config import shipped
from .directions import MEAN, Direction

FILE = "projects/GDNorm/results/paper.csv"
METRICS = ("Rank-1", "Rank-5", "Rank-10", "mAP")  # the metrics that the paper reports
TABLES = ("1", "3", "4")  # the results on whole protocols, and the ablation's baseline and "E"
AVERAGED = frozenset("VPGI")  # the targets of the paper's mean: those of Protocol-1


class Published(NamedTuple):
    """One method's results on one target, in %; None if the paper has no number."""

    direction: Direction  # without targets
    target: str
    method: str
    table: str
    values: dict[str, float | None]


def published(direction: Direction, target: str) -> list[Published]:
    """The paper's results for a direction's sources on a target, or on the MEAN over the direction's targets."""
    if target == MEAN and set(direction.targets) != AVERAGED:
        return []
    sources = Direction(direction.sources)
    return [line for line in _lines() if line.direction == sources and line.target == target]


@cache
def _lines() -> list[Published]:
    with open(shipped(FILE), newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["table"] in TABLES]
    lines: dict[tuple[Direction, str, str], Published] = {}
    for row in rows:
        values = {metric: float(row[metric]) if row[metric] else None for metric in METRICS}
        line = Published(Direction.parse(row["sources"]), row["target"], row["method"], row["table"], values)
        lines.setdefault(line[:3], line)  # GDNorm is in both Table 3 and Table 4
    return list(lines.values())
