"""Figures of a run: losses, learning rate, and the Gaussian process over depth and over training.

They are narrow, so that their text is readable on a phone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from ..layers.gaussian_process import Moments

Records = Sequence[dict[str, Any]]  # lines of metrics.json, {"iteration": ..., name: value}
Process = Iterable[tuple[str, Moments]]  # of every layer in order of depth, as GaussianProcess gives them

WIDTH = 5  # inches
COLOURS = {"a": "tab:blue", "b": "tab:orange"}


def curves_figure(records: Records) -> Figure:
    """Every loss and the learning rate against iterations."""
    figure = Figure(figsize=(WIDTH, 5), layout="constrained")
    losses, rate = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    names = sorted({name for record in records for name in record if "loss" in name}, key=lambda n: (len(n), n))
    for name in ("total_loss", *(name for name in names if name != "total_loss")):
        losses.plot(*_curve(records, name), ".-", markersize=3, label=name)
    rate.plot(*_curve(records, "lr"), ".-", markersize=3, color="black")
    losses.set(ylabel="loss", ylim=(0, None))
    rate.set(ylabel="learning rate", xlabel="iteration", ylim=(0, None))
    losses.legend(fontsize=8)
    for axis in (losses, rate):
        axis.grid(alpha=0.3)
    return figure


def band_figure(process: Process, scale: float, noise: str) -> Figure:
    """M(a) and M(b), averaged over channels, with a band of lambda times the spread, layer by layer.

    Args:
        scale, noise: MODEL.GDNORM.LAMBDA and NOISE, which determine the band (Eq. 11).
    """
    layers = band(process, scale, noise)
    parts: tuple[tuple[str, list[float], list[float]], ...] = (
        ("a", [layer[1] for layer in layers], [layer[2] for layer in layers]),
        ("b", [layer[3] for layer in layers], [layer[4] for layer in layers]),
    )
    depth = range(1, len(layers) + 1)
    figure = Figure(figsize=(WIDTH, 5), layout="constrained")
    for axis, (part, mean, width) in zip(figure.subplots(2, 1, sharex=True), parts):
        low, high = ([m + sign * w for m, w in zip(mean, width)] for sign in (-1, 1))
        label = f"± {scale:g} × {'variance' if noise == 'variance' else 'standard deviation'}"
        axis.fill_between(depth, low, high, color=COLOURS[part], alpha=0.3, label=label)
        axis.plot(depth, mean, ".-", color=COLOURS[part], label=f"M({part})")
        axis.set(ylabel=f"{part}, mean over channels")
        axis.legend(fontsize=8)
        axis.grid(alpha=0.3)
    axis.set(xlabel="layer, in order of depth", xlim=(0.5, len(layers) + 0.5))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def width_figure(process: Process, scale: float, noise: str) -> Figure:
    """Half the width of the band alone: lambda times the spread of a and of b, layer by layer."""
    layers = band(process, scale, noise)
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axis = figure.subplots()
    for part, column in ("a", 2), ("b", 4):
        axis.plot(
            range(1, len(layers) + 1),
            [layer[column] for layer in layers],
            ".-",
            color=COLOURS[part],
            label=f"of {part}",
        )
    axis.set(xlabel="layer, in order of depth", xlim=(0.5, len(layers) + 0.5))
    axis.set(ylabel="lambda × spread")
    _show_magnitudes(axis)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3, which="both")
    return figure


def spread_figure(records: Records) -> Figure:
    """How far apart the branches are during training: the means over layers of var(a) and var(b)."""
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axis = figure.subplots()
    for part in "ab":
        curve = _curve(records, f"gaussian_process/var_{part}")
        axis.plot(*curve, ".-", color=COLOURS[part], label=f"variance of {part}")
    axis.set(xlabel="iteration", ylabel="mean over layers")
    _show_magnitudes(axis)
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3, which="both")
    return figure


def band(process: Process, scale: float, noise: str) -> list[tuple[str, float, float, float, float]]:
    """[(layer, M(a), lambda * spread of a, M(b), lambda * spread of b)], averaged over the layer's channels."""

    def width(variance: Tensor) -> float:
        spread = variance if noise == "variance" else variance.sqrt()
        return scale * float(spread.mean())

    return [
        (name, float(m.mean_a.mean()), width(m.var_a), float(m.mean_b.mean()), width(m.var_b)) for name, m in process
    ]


def _show_magnitudes(axis: Any) -> None:
    """Use a logarithmic scale, unless no value is positive, as when all branches are the same."""
    if any((line.get_ydata() > 0).any() for line in axis.lines):
        axis.set_yscale("log")


def _curve(records: Records, name: str) -> tuple[list[float], list[float]]:
    points = [(record["iteration"], record[name]) for record in records if name in record]
    return [x for x, _ in points], [y for _, y in points]
