"""Compares measured numbers with the paper's, and with those of later papers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from tabulate import tabulate

from ..disk import save_figure
from ..evaluation import HEADLINE, SPREAD, header
from ..runs.tables import save_table
from .directions import Direction, letters
from .numbers import LATER, METRICS, published, published_later

THIS_RUN, DIFFERENCE = "this run", "this run - paper"
ABOUT_LATER = f"Other papers' backbones, image sizes, boxes and data set versions may differ from these runs': {LATER}"


class Measured(NamedTuple):
    """The results of a finished run."""

    direction: Direction
    method: str
    results: Mapping[str, Mapping[str, float]]  # {the target's name in the registry: {metric: %}}
    all_images: bool = False  # whether it was trained on the sources' query and gallery images too


class Line(NamedTuple):
    """One method's results on one target."""

    direction: str
    target: str
    method: str
    source: str  # a table of the paper, a later paper, THIS_RUN or DIFFERENCE
    values: dict[str, float | None]  # {metric: %}; None if the paper has no number
    spread: dict[str, float]  # {metric: standard deviation over splits}, or empty


class Comparison:
    """Measured results, published ones for the same sources and target, and the differences from the paper's.

    ``lines`` lists them by direction, then by target.
    """

    def __init__(self, measured: Iterable[Measured]) -> None:
        self.lines: list[Line] = []
        self._titles: dict[tuple[str, str], str] = {}  # {(direction, target): title}
        runs: dict[Direction, list[Measured]] = {}
        for run in measured:
            runs.setdefault(run.direction, []).append(run)
        for direction, own_runs in runs.items():
            for name in dict.fromkeys(name for run in own_runs for name in run.results):
                self._titles[str(direction), letters(name)] = direction.to(letters(name))
                self.lines += _lines_on(name, direction, own_runs)

    def table(self) -> str:
        """A Markdown table for each direction and target."""
        tables = []
        for group, title in self._titles.items():
            rows = [
                [line.method, line.source, *(_cell(line, metric) for metric in METRICS)]
                for line in self.lines
                if line[:2] == group
            ]
            headers = ["", "", *map(header, METRICS)]
            tables.append(f"{title}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}")
        has_later = any(not line.source.startswith(("paper", THIS_RUN)) for line in self.lines)
        return "\n\n".join([*tables, *([ABOUT_LATER] if has_later else [])]) + "\n"

    def figure(self) -> Figure:
        """Rank-1 and mAP on every target: the paper's GDNorm, and the measured runs."""
        groups = list(self._titles)
        paper_lines = [line for line in self.lines if line.method == "GDNorm" and line.source.startswith("paper")]
        shown = paper_lines + [line for line in self.lines if line.source == THIS_RUN]
        series = list(dict.fromkeys((line.method, line.source) for line in shown))
        labels = [title.replace("->", "\n->") for title in self._titles.values()]
        figure = Figure(figsize=(3 + 1.2 * len(groups), 6), layout="constrained")
        for axis, metric in zip(figure.subplots(2, 1, sharex=True), HEADLINE):
            width = 0.8 / len(series)
            for place, kind in enumerate(series):
                own_lines = {line[:2]: line for line in shown if (line.method, line.source) == kind}
                bars = [(group, own_lines[name]) for group, name in enumerate(groups) if name in own_lines]
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
        return figure

    def save(self, folder: Path) -> None:
        """Write comparison.md, .csv, .json and .png to ``folder``."""
        columns = [*Line._fields[:4], *METRICS, *(metric + SPREAD for metric in METRICS)]
        rows = (
            [*line[:4], *(values.get(metric) for values in (line.values, line.spread) for metric in METRICS)]
            for line in self.lines
        )
        save_table(folder, "comparison", columns, rows, [line._asdict() for line in self.lines], self.table())
        save_figure(folder / "comparison.png", self.figure(), dpi=110)


def _lines_on(name: str, direction: Direction, runs: list[Measured]) -> Iterable[Line]:
    target = letters(name)
    paper_lines = published(direction, target)
    for line in (*paper_lines, *published_later(direction, target, runs[0].all_images)):
        yield Line(str(direction), target, line.method, line.source, line.values, {})
    for run in runs:
        if name not in run.results:
            continue
        metrics = run.results[name]
        values: dict[str, float | None] = {metric: metrics[metric] for metric in METRICS}
        spread = {metric: metrics[metric + SPREAD] for metric in METRICS if metric + SPREAD in metrics}
        yield Line(str(direction), target, run.method, THIS_RUN, values, spread)
        for line in paper_lines:
            if line.method == run.method:
                differences = {metric: _difference(metrics[metric], line.values[metric]) for metric in METRICS}
                yield Line(str(direction), target, run.method, DIFFERENCE, differences, {})


def _difference(own: float, paper: float | None) -> float | None:
    return None if paper is None else own - paper


def _cell(line: Line, metric: str) -> str:
    value = line.values[metric]
    if value is None:
        return "-"
    if line.source == DIFFERENCE:
        return f"{value:+.1f}"
    return f"{value:.1f} ± {line.spread[metric]:.1f}" if metric in line.spread else f"{value:.1f}"
