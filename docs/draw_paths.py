"""Draws images/paths.svg, the four kinds of path through a network of 16 BN layers: python docs/draw_paths.py

The paths are the package's own. The branches are made up: smooth curves that differ between three sources.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import nn

from fastreid_gdnorm.layers import GaussianProcess, MeanPath, SampledPath, SourcePath, convert_gdnorm, gdnorm_layers
from fastreid_gdnorm.layers.posterior_path import Prior

FILE = Path(__file__).parent / "images" / "paths.svg"
DEPTH, CHANNELS, SOURCES = 16, 64, 3
IMAGES, SCATTER = 16, torch.full((2,), 5.0)  # of the site, and how much images of one domain differ
COLOURS, SHADE, GREY = ("#1b7f6b", "#c2571a", "#5a56b8"), "#2f6fb0", "#a9afb8"


def network(generator: torch.Generator) -> nn.Module:
    """A stack of branched BN layers whose population variances differ smoothly over depth and between sources."""
    model = convert_gdnorm(nn.Sequential(*(nn.BatchNorm2d(CHANNELS) for _ in range(DEPTH))), SOURCES)
    depth = torch.linspace(0, 1, DEPTH)
    phase = torch.rand(SOURCES, CHANNELS, generator=generator)
    for place, layer in enumerate(model):
        for branch, shift in zip(layer.branches, phase):
            branch.running_var.copy_((0.9 * torch.sin(6.3 * (shift + 0.7 * depth[place])) - 0.4 * depth[place]).exp())
    return model.eval()


def slopes(model: nn.Module, path) -> list[float]:
    """The first channel's a in every layer along an affine path."""
    layers = gdnorm_layers(model)
    path.start(layers)
    return [path.affine(layer)[0][0].item() for layer in layers.values()]


def posterior(model: nn.Module, generator: torch.Generator) -> tuple[list[float], list[float]]:
    """The a that a site's images have, and that of the posterior path, in every layer."""
    own, given = [], []
    for place, layer in enumerate(gdnorm_layers(model).values()):
        prior = Prior.of(layer)
        noise = torch.randn((), generator=generator)
        log_var = prior.log_var[0] - 0.5 + 0.4 * torch.cos(torch.tensor(place / 2)) + 0.3 * noise
        weight = prior.weight(IMAGES, SCATTER)[1]
        own.append(float((-log_var / 2).exp()))
        given.append(float((-(prior.log_var[0] + weight * (log_var - prior.log_var[0])) / 2).exp()))
    return own, given


def main() -> None:
    plt.rcParams.update(
        {"font.size": 12, "svg.hashsalt": "paths", "axes.spines.top": False, "axes.spines.right": False}
    )
    generator = torch.Generator().manual_seed(3)
    model = network(generator)
    depth = range(1, DEPTH + 1)
    sources = [slopes(model, SourcePath(k)) for k in range(SOURCES)]
    mean = slopes(model, MeanPath())
    figure, axes = plt.subplots(2, 2, figsize=(9, 6.6), sharex=True, sharey=True, layout="constrained")
    (domain, sampled), (tested, site) = axes

    for k, (source, colour) in enumerate(zip(sources, COLOURS), 1):
        domain.plot(depth, source, color=colour, linewidth=2.4, label=f"source {k}")
        for panel in (sampled, tested, site):
            panel.plot(depth, source, color=GREY, linewidth=1)
    domain.set_title("Domain path: training\neach image by its own source's branch", fontsize=12)

    moments = [(m.mean_a[0].item(), m.var_a[0].item() ** 0.5) for _, m in GaussianProcess(model)]
    low, high = zip(*((middle - spread, middle + spread) for middle, spread in moments))
    sampled.fill_between(depth, low, high, color=SHADE, alpha=0.15, linewidth=0, label="Gaussian process")
    sampled.plot(depth, slopes(model, SampledPath(0.6, "std", generator)), color=SHADE, linewidth=2.4, label="one draw")
    sampled.set_title("Sampled path: training\nall images by one draw", fontsize=12)

    tested.plot(depth, mean, color="black", linewidth=2.4, label="mean of the branches")
    tested.set_title("Mean path: testing\nall images by the mean", fontsize=12)

    own, given = posterior(model, generator)
    site.plot(depth, mean, color="black", linewidth=1.2, linestyle="--", label="mean of the branches")
    site.plot(depth, own, "o", color="#b03060", markersize=5, label="the site's images")
    site.plot(depth, given, color="#b03060", linewidth=2.4, label="posterior")
    site.set_title("Posterior path: testing at a site\nthe mean, given unlabelled images", fontsize=12)

    for panel in axes.flat:
        panel.legend(frameon=False, fontsize=10.5, loc="upper left")
    domain.set(xticks=range(1, DEPTH + 1, 3), ylim=(0.4, 3.2))
    figure.supxlabel("BN layer, by depth", fontsize=12)
    figure.supylabel("a of one channel", fontsize=12)
    figure.savefig(FILE, metadata={"Date": None})


if __name__ == "__main__":
    main()
