"""Reads and writes test results in a run's folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..evaluation import SPREAD, SplitResults, metric_names
from . import files
from .tables import save_table


def save_test_results(results: Mapping[str, Mapping[str, float]], folder: str | Path) -> None:
    """Write {target: metrics}, with the results of every split, to test_results.json and .csv in ``folder``."""
    names = metric_names(results)
    whole = {target: {**metrics, **_splits_of(metrics)} for target, metrics in results.items()}
    save_table(folder, files.RESULTS, ["target", "split", *names], _rows(results, names), whole)


def read_test_results(folder: Path) -> dict[str, dict[str, Any]] | None:
    """The contents of a folder's test_results.json, or None if it does not exist.

    Raises:
        UserError: the file is damaged.
    """
    return read_json(folder / f"{files.RESULTS}.json")


def read_json(file: Path) -> dict[str, Any] | None:
    """The object in a JSON file, or None if the file does not exist.

    Raises:
        UserError: the file is damaged.
    """
    if not file.is_file():
        return None
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{file} is damaged ({error}): remove it, and test again") from error


def _rows(results: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> Iterator[list[object]]:
    for target, metrics in results.items():
        for number, split in enumerate(_splits_of(metrics).get("splits", [])):
            yield [target, number, *(split.get(name, "") for name in names)]
        yield [target, "mean", *(metrics.get(name, "") for name in names)]
        if any(name + SPREAD in metrics for name in names):
            yield [target, "std", *(metrics.get(name + SPREAD, "") for name in names)]


def _splits_of(metrics: Mapping[str, float]) -> dict[str, Sequence[Mapping[str, float]]]:
    return {"splits": metrics.splits} if isinstance(metrics, SplitResults) else {}
