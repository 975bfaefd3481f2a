"""Each image along a path of its own: the posterior path of a domain of one image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .following import forward_along
from .gdnorm import gdnorm_layers
from .image_statistics import Evidence, ImageStatistics, of_each_image
from .modes import evaluating
from .paths import Path, SourcePath, normalize_each
from .posterior_path import Prior, check_branches

if TYPE_CHECKING:
    from .gdnorm import GDNorm

Scatter = tuple[Tensor, Tensor]  # of a layer: Evidence.between and Evidence.log_var_spread


class InstancePath(Path):
    """Every image by its own statistics, as far as one image weighs: :class:`PosteriorPath` with n = 1.

    An image does not tell how images of its domain vary; this is taken from the sources' images and holds for all
    domains. No other image of the target is seen. It costs a pass, and the statistics of every layer's input.

    Args:
        scatter: {name: (variance between images of their means, n times the sampling variance of log(var + eps))} of
            every GDNorm layer, each (C,); averages over the sources. It may be given later.
    """

    def __init__(self, scatter: Mapping[str, Scatter] | None = None) -> None:
        self.scatter = scatter
        self._of_layer: dict[GDNorm, tuple[Prior, Scatter]] = {}

    @classmethod
    def from_sources(cls, model: nn.Module, sources: Sequence[Iterable[Any]]) -> InstancePath:
        """Take the scatter of images from every source's batches along its own path, in a pass for each.

        Raises:
            ValueError: as for :meth:`PosteriorPath.from_images`.
        """
        layers = gdnorm_layers(model)
        check_branches(model, layers)
        with evaluating(model), torch.no_grad():
            taken = [_ScatterPath(k) for k in range(len(sources))]
            for path, batches in zip(taken, sources):
                for batch in batches:
                    forward_along(model, batch, path)
        scatter = {}
        for name, layer in layers.items():
            of_sources = [path.statistics_of[layer].evidence(layer.branches[0].eps) for path in taken]
            between = torch.stack([evidence.between for evidence in of_sources]).mean(0)
            scatter[name] = between, torch.stack([evidence.log_var_spread for evidence in of_sources]).mean(0)
        return cls(scatter)

    def start(self, layers: Mapping[str, GDNorm]) -> None:
        if self.scatter is None:
            raise RuntimeError("the instance path does not know how images vary yet: take it from the sources")
        self._of_layer = {layer: (Prior.of(layer), self.scatter[name]) for name, layer in layers.items()}

    def normalize(self, layer: GDNorm, x: Tensor) -> Tensor:
        prior, (between, log_var_spread) = self._of_layer[layer]
        mean, within = of_each_image(x)
        own = prior.given(Evidence(1, mean, within, between, log_var_spread, prior.eps))
        like = layer.branches[0].weight
        a, b = layer.average_affine(own.mean.to(like), own.var.to(like))
        return normalize_each(x, a, b)


class _ScatterPath(SourcePath):
    """A source's path; takes the statistics of what comes to every layer."""

    def __init__(self, k: int) -> None:
        super().__init__(k)
        self.statistics_of: dict[GDNorm, ImageStatistics] = {}

    def normalize(self, layer: GDNorm, x: Tensor) -> Tensor:
        if layer not in self.statistics_of:
            self.statistics_of[layer] = ImageStatistics(layer.stacked()[2][self.k])
        self.statistics_of[layer].add(x)
        return super().normalize(layer, x)
