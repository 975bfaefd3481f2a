"""Summaries of a test on several targets and splits: averages and a table."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t
from tabulate import tabulate

from .metrics import SPREAD
from .split_evaluator import SplitResults

AVERAGE = "average"
LEFT_OUT = "metric"  # fast-reid's (Rank-1 + mAP) / 2, by which it selects a checkpoint


def add_average(results: dict[str, Any]) -> None:
    """Add to ``results``, {target: metrics}, the average over the targets with splits, if there are at least two.

    The average has the metrics that all of these targets share. Its standard deviation, sqrt(sum of variances) /
    targets, assumes that splits are drawn independently for each target.
    """
    split = [metrics for metrics in results.values() if isinstance(metrics, SplitResults)]
    if len(split) > 1:
        shared = [name for name in split[0] if all(name in metrics for metrics in split)]
        average = OrderedDict((name, sum(metrics[name] for metrics in split) / len(split)) for name in shared)
        for name in [name for name in average if name.endswith(SPREAD)]:
            average[name] = math.sqrt(sum(metrics[name] ** 2 for metrics in split)) / len(split)
        results[AVERAGE] = average


def summary_table(results: Mapping[str, Mapping[str, float]]) -> str:
    """A Markdown table with a row for each target; metrics over splits include their standard deviation."""
    names = metric_names(results)
    lines = [[target, *(metric_text(metrics, name) for name in names)] for target, metrics in results.items()]
    return str(tabulate(lines, headers=["", *names], tablefmt="github", disable_numparse=True))


def metric_names(results: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The metrics of {target: metrics} that tables show; a target need not have all of them."""
    names = dict.fromkeys(name for metrics in results.values() for name in metrics)
    return [name for name in names if name not in (LEFT_OUT, "splits") and not name.endswith(SPREAD)]


def metric_text(metrics: Mapping[str, float], name: str) -> str:
    """A metric as text for tables, with its standard deviation over splits if known; "-" if the metric is missing."""
    if name not in metrics:
        return "-"
    spread = f" ± {metrics[name + SPREAD]:.1f}" if name + SPREAD in metrics else ""
    return f"{metrics[name]:.1f}{spread}"


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The average of two or more values, and half the width of its 95 % interval (Student's t)."""
    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return float(np.mean(values)), float(half)
