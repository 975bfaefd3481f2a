"""The trade-off of a threshold: true accepts against false accepts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from ..disk import save_figure
from ..inference.pairs import Pairs
from ..inference.thresholds import Threshold


def save_threshold_figure(file: Path, pairs: Pairs, threshold: Threshold) -> None:
    """Plot the curve of all thresholds, and mark the chosen one with its intervals."""
    false, true, _ = roc_curve(pairs.is_same, pairs.scores)
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.subplots()
    least = 1 / threshold.different
    axes.plot(100 * np.maximum(false, least), 100 * true, color="tab:blue", label="every threshold")
    x, y = threshold.false_accept, threshold.true_accept
    axes.errorbar(
        100 * x.value,
        100 * y.value,
        xerr=[[100 * (x.value - x.low)], [100 * (x.high - x.value)]],
        yerr=[[100 * (y.value - y.low)], [100 * (y.high - y.value)]],
        fmt="o",
        color="tab:red",
        capsize=4,
        label=f"{threshold.score:.3f}: {100 * x.value:.2f} % and {100 * y.value:.1f} %,\nwith 95 % intervals",
    )
    axes.set(
        xscale="log",
        xlim=(100 * least, 100),
        ylim=(0, 101),
        xlabel="pairs of different people called the same (%)",
        ylabel="pairs of one person called the same (%)",
        title=f"{threshold.data}: {threshold.identities} people, {threshold.images} images",
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    save_figure(file, figure, dpi=130)
