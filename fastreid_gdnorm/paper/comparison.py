"""This run's numbers beside the paper's."""

import csv
import json
from typing import NamedTuple

from fastreid.data.datasets import DATASET_REGISTRY
from matplotlib.figure import Figure
from tabulate import tabulate

from ..runs.config import shipped

PAPER = "projects/GDNorm/results/paper.csv"
METRICS = ("Rank-1", "Rank-5", "Rank-10", "mAP")
TABLES = ("1", "3", "4")  # of the paper: the results on whole protocols, and the ablation's baseline and "E"
AVERAGE, AVERAGED = "mean", set("VPGI")  # the paper's word for the average over Protocol-1's targets
THIS_RUN, DIFFERENCE = "this run", "this run - paper"


class Line(NamedTuple):
    """One method's results on one target."""

    direction: str
    target: str
    method: str
    source: str  # a table of the paper, THIS_RUN or DIFFERENCE
    values: dict  # {metric: %}; None where the paper has none
    spread: dict  # {metric: standard deviation over splits}, or nothing


def compare(measured):
    """What is measured, between what the paper has for the same sources and target and the difference.

    Args:
        measured: (direction, method, {target: metrics}) of every run that is done.
    """
    paper = _paper()
    lines = []
    for direction in dict.fromkeys(direction for direction, _, _ in measured):
        runs = [(method, results) for other, method, results in measured if other == direction]
        for name in dict.fromkeys(name for _, results in runs for name in results):
            target = letters(name)
            published = [line for line in paper if _is_of(line, direction, target)]
            lines += [line._replace(direction=direction) for line in published]
            for method, results in runs:
                if name in results:
                    lines += _of_run(direction, target, method, results[name], published)
    return lines


def _is_of(line, direction, target):
    """Whether a line of the paper is for the sources of a direction and a target, or for the mean of its targets."""
    sources, targets = (set(side.split("+")) for side in direction.split("->"))
    same_mean = target != AVERAGE or targets == AVERAGED
    return set(line.direction.split("+")) == sources and line.target == target and same_mean


def letters(name):
    """A data set as papers write it."""
    reader = DATASET_REGISTRY._obj_map.get(name)
    return AVERAGE if name == "average" else getattr(reader, "letters", "") or name


def comparison_table(lines):
    """A Markdown table for each direction and target."""
    tables = []
    for direction, target in dict.fromkeys((line.direction, line.target) for line in lines):
        title = _title(direction, target)
        rows = [
            [line.method, line.source, *(_cell(line, metric) for metric in METRICS)]
            for line in lines
            if (line.direction, line.target) == (direction, target)
        ]
        headers = ["", "", "R1", "R5", "R10", "mAP"]
        tables.append(f"{title}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}")
    return "\n\n".join(tables) + "\n"


def save_comparison(lines, folder):
    """Write comparison.md, .csv, .json and .png into ``folder``."""
    (folder / "comparison.md").write_text(comparison_table(lines))
    (folder / "comparison.json").write_text(json.dumps([line._asdict() for line in lines], indent=2) + "\n")
    with open(folder / "comparison.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*Line._fields[:4], *METRICS, *(f"{metric} std" for metric in METRICS)])
        for line in lines:
            numbers = [values.get(metric) for values in (line.values, line.spread) for metric in METRICS]
            writer.writerow([*line[:4], *numbers])
    _draw(lines, folder / "comparison.png")


def _title(direction, target):
    sources, targets = direction.split("->")
    return f"{sources}->{f'mean of {targets}' if target == AVERAGE else target}"


def _paper():
    with open(shipped(PAPER), newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["table"] in TABLES]
    lines = {}
    for row in rows:
        values = {metric: float(row[metric]) if row[metric] else None for metric in METRICS}
        line = Line(row["sources"], row["target"], row["method"], f"paper, Table {row['table']}", values, {})
        lines.setdefault(line[:3], line)  # GDNorm is in Table 3 and again in Table 4
    return list(lines.values())


def _of_run(direction, target, method, metrics, published):
    values = {metric: metrics[metric] for metric in METRICS}
    spread = {metric: metrics[f"{metric} std"] for metric in METRICS if f"{metric} std" in metrics}
    yield Line(direction, target, method, THIS_RUN, values, spread)
    for line in published:
        if line.method == method:
            differences = {
                metric: None if line.values[metric] is None else values[metric] - line.values[metric]
                for metric in METRICS
            }
            yield Line(direction, target, method, DIFFERENCE, differences, {})


def _cell(line, metric):
    value = line.values[metric]
    if value is None:
        return "-"
    if line.source == DIFFERENCE:
        return f"{value:+.1f}"
    return f"{value:.1f} ± {line.spread[metric]:.1f}" if metric in line.spread else f"{value:.1f}"


def _draw(lines, output):
    """Rank-1 and mAP on every target: the paper's GDNorm, and what was run."""
    groups = list(dict.fromkeys((line.direction, line.target) for line in lines))
    published = [line for line in lines if line.method == "GDNorm" and line.source.startswith("paper")]
    shown = published + [line for line in lines if line.source == THIS_RUN]
    series = list(dict.fromkeys((line.method, line.source) for line in shown))
    labels = [_title(*group).replace("->", "\n->") for group in groups]
    figure = Figure(figsize=(3 + 1.2 * len(groups), 6), layout="constrained")
    for axis, metric in zip(figure.subplots(2, 1, sharex=True), ("Rank-1", "mAP")):
        width = 0.8 / len(series)
        for place, kind in enumerate(series):
            of_group = {line[:2]: line for line in shown if (line.method, line.source) == kind}
            bars = [(group, of_group[name]) for group, name in enumerate(groups) if name in of_group]
            axis.bar(
                [group - 0.4 + (place + 0.5) * width for group, _ in bars],
                [line.values[metric] for _, line in bars],
                width,
                yerr=[line.spread.get(metric, 0) for _, line in bars],
                label=", ".join(kind),
                color="lightgrey" if "paper" in kind[1] else None,
            )
        axis.set(ylabel=f"{metric} (%)", ylim=(0, 100), xticks=range(len(groups)), xticklabels=labels)
        axis.grid(axis="y", alpha=0.3)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    figure.savefig(output, dpi=110)
