"""How much weight the images of a site get, by depth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from ..disk import save_figure
from ..layers import PosteriorPath


def save_weights_figure(file: Path, paths: Mapping[str, PosteriorPath]) -> None:
    """Plot, for each path in {name: path}, the weight of its images in the mean and variance of every layer."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for statistic, (axes, title) in enumerate(zip(panels, ("the mean", "the variance"))):
        for name, path in paths.items():
            weights = [float(layer.weight[statistic]) for layer in path.layers.values()]
            axes.plot(range(1, len(weights) + 1), weights, marker=".", label=f"{name}, {path.images} images")
        axes.set(ylim=(0, 1), xlabel="BN layer, from the first to the last", title=f"of {title}")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("weight of the images (0: only the sources count)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    save_figure(file, figure, dpi=130)
