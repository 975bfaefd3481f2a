"""Figures of a path sweep: the paper's Figure 2 and Table 5."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from ..evaluation import HEADLINE
from ..evaluation.path_sweep import Record

MEAN_PATH, SAMPLED = "tab:red", "black"


def sweep_figures(records: Sequence[Record], target: str) -> dict[str, Figure]:
    """{name: figure} of a target: ``paths``, and ``samples`` if paths were sampled."""
    figures = {"paths": paths_figure(records, target)}
    if any(record["target"] == target and record["lambda"] is not None for record in records):
        figures["samples"] = samples_figure(records, target)
    return figures


def samples_figure(records: Sequence[Record], target: str) -> Figure:
    """Rank-1 and mAP against lambda: a dot per sampled path, grey from worst to best, the mean path red (Figure 2)."""
    own = [record for record in records if record["target"] == target]
    samples = [record for record in own if record["lambda"] is not None]
    scales = sorted({record["lambda"] for record in samples})
    (mean_path,) = [record for record in own if record["path"] == "mean"]
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axis, metric in zip(figure.subplots(1, 2), HEADLINE):
        values = [[record[metric] for record in samples if record["lambda"] == scale] for scale in scales]
        axis.fill_between(
            scales, list(map(min, values)), list(map(max, values)), color="lightgrey", label="best to worst"
        )
        dots = [(scale, value) for scale, of_scale in zip(scales, values) for value in of_scale]
        axis.plot(*zip(*dots), ".", color=SAMPLED, markersize=4, label="sampled paths")
        axis.plot(scales, [sum(v) / len(v) for v in values], "--", color="tab:blue", label="their average")
        axis.axhline(mean_path[metric], color=MEAN_PATH, label="mean path")
        axis.set(xlabel="lambda", ylabel=f"{metric} (%)")
        axis.grid(alpha=0.3)
    figure.suptitle(f"{target}: paths sampled from the Gaussian process")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def paths_figure(records: Sequence[Record], target: str) -> Figure:
    """Rank-1 and mAP of every source's path, the mean path and the ensemble, with the time per batch (Table 5)."""
    own = [record for record in records if record["target"] == target and record["lambda"] is None]
    colours = [MEAN_PATH if record["path"] == "mean" else "tab:blue" for record in own]
    figure = Figure(figsize=(max(5, 1.5 * len(own)), 4), layout="constrained")
    axis = figure.subplots()
    for metric, offset, shade in zip(HEADLINE, (-0.2, 0.2), (1.0, 0.5)):
        positions = [bar + offset for bar in range(len(own))]
        bars = axis.bar(positions, [record[metric] for record in own], 0.38, color=colours, alpha=shade)
        axis.bar_label(bars, [f"{metric}\n{record[metric]:.1f}" for record in own], fontsize=8)
    labels = [f"{record['path']}\n{1000 * record['seconds_per_batch']:.0f} ms per batch" for record in own]
    highest = max(record[metric] for record in own for metric in HEADLINE)
    axis.set(ylabel="%", ylim=(0, 1.2 * highest + 1), xticks=range(len(own)), xticklabels=labels, title=target)
    return figure
