"""The paper's numbers, and those of later papers."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

from ..runs.run_config import shipped
from .directions import MEAN, Direction

PAPER, LATER = "projects/GDNorm/results/paper.csv", "projects/GDNorm/results/published.csv"
METRICS = ("Rank-1", "Rank-5", "Rank-10", "mAP")  # the metrics that the paper reports
TABLES = ("1", "3", "4")  # the results on whole protocols, and the ablation's baseline and "E"
AVERAGED = frozenset("VPGI")  # the targets of the paper's mean: those of Protocol-1
IMAGES = {"train": False, "all": True, "": None}  # in published.csv: {images of the sources: DATASETS.COMBINEALL}


class Published(NamedTuple):
    """One method's results on one target, in %; None if there is no number."""

    direction: Direction  # without targets
    target: str
    method: str
    source: str  # where it is printed
    values: dict[str, float | None]
    all_images: bool | None = None  # DATASETS.COMBINEALL; None if unknown


def published(direction: Direction, target: str) -> list[Published]:
    """The paper's results for a direction's sources on a target, or on the MEAN over the direction's targets."""
    return _found(_paper_lines(), direction, target)


def published_later(direction: Direction, target: str, all_images: bool) -> list[Published]:
    """The same in later papers, without those that are known to train on other images of the sources.

    Args:
        all_images: whether training uses all images of the sources, or their training splits.
    """
    return [line for line in _found(_later_lines(), direction, target) if line.all_images in (None, all_images)]


def _found(lines: list[Published], direction: Direction, target: str) -> list[Published]:
    if target == MEAN and set(direction.targets) != AVERAGED:
        return []
    sources = Direction(direction.sources)
    return [line for line in lines if line.direction == sources and line.target == target]


@cache
def _paper_lines() -> list[Published]:
    lines: dict[tuple[Direction, str, str], Published] = {}
    for row in _rows(PAPER):
        if row["table"] in TABLES:
            line = Published(*_key(row), f"paper, Table {row['table']}", _values(row))
            lines.setdefault(line[:3], line)  # GDNorm is in both Table 3 and Table 4
    return list(lines.values())


@cache
def _later_lines() -> list[Published]:
    return [Published(*_key(row), row["printed in"], _values(row), IMAGES[row["images"]]) for row in _rows(LATER)]


def _rows(file: str) -> Iterator[dict[str, str]]:
    with open(shipped(file), newline="") as lines:
        yield from csv.DictReader(lines)


def _key(row: Mapping[str, str]) -> tuple[Direction, str, str]:
    return Direction.parse(row["sources"]), row["target"], row["method"]


def _values(row: Mapping[str, str]) -> dict[str, float | None]:
    return {metric: float(row[metric]) if row[metric] else None for metric in METRICS}
