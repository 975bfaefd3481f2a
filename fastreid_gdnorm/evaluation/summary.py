"""What a test on several targets and splits comes to: averages, one table, files."""

import csv
import json
import math
import os
from collections import OrderedDict

from tabulate import tabulate

from .split_evaluator import SPREAD, SplitResults

AVERAGE = "average"
LEFT_OUT = "metric"  # fast-reid's own (Rank-1 + mAP) / 2, by which it chooses a checkpoint


def add_average(results):
    """Add to ``results``, {target: metrics}, the average over targets tested on splits, if there are several.

    Its standard deviation is that of the average of independently drawn splits, sqrt(sum of variances) / targets.
    """
    split = [metrics for metrics in results.values() if isinstance(metrics, SplitResults)]
    if len(split) > 1:
        average = OrderedDict((name, sum(metrics[name] for metrics in split) / len(split)) for name in split[0])
        for name in [name for name in average if name.endswith(SPREAD)]:
            average[name] = math.sqrt(sum(metrics[name] ** 2 for metrics in split)) / len(split)
        results[AVERAGE] = average


def summary_table(results):
    """A Markdown table, a line for each target: metrics, with their standard deviation where there are splits."""
    names = _metric_names(results)
    lines = [[target, *(_cell(metrics, name) for name in names)] for target, metrics in results.items()]
    return tabulate(lines, headers=["", *names], tablefmt="github", disable_numparse=True)


def save_test_results(results, folder):
    """Write test_results.json and test_results.csv, with every split's own results, into ``folder``."""
    os.makedirs(folder, exist_ok=True)
    names = _metric_names(results)
    with open(os.path.join(folder, "test_results.json"), "w") as file:
        whole = {target: {**metrics, **_splits_of(metrics)} for target, metrics in results.items()}
        json.dump(whole, file, indent=2, default=float)
    with open(os.path.join(folder, "test_results.csv"), "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["target", "split", *names])
        for target, metrics in results.items():
            for number, split in enumerate(_splits_of(metrics).get("splits", [])):
                writer.writerow([target, number, *(split[name] for name in names)])
            writer.writerow([target, "mean", *(metrics[name] for name in names)])
            if names[0] + SPREAD in metrics:
                writer.writerow([target, "std", *(metrics[name + SPREAD] for name in names)])


def _metric_names(results):
    first = next(iter(results.values()))
    return [name for name in first if name != LEFT_OUT and not name.endswith(SPREAD)]


def _cell(metrics, name):
    spread = f" ± {metrics[name + SPREAD]:.1f}" if name + SPREAD in metrics else ""
    return f"{metrics[name]:.1f}{spread}"


def _splits_of(metrics):
    return {"splits": metrics.splits} if isinstance(metrics, SplitResults) else {}
