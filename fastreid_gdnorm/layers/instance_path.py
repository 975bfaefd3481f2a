"""A path of its own for every image: the posterior path of a domain that consists of this image."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .branched_norm import BranchedNorm
from .image_statistics import Evidence, moments_per_image
from .paths import Path, normalize_each
from .posterior_path import Prior


class InstancePath(Path):
    """Normalises every image by its own statistics, shrunk towards the prior: :class:`PosteriorPath` with n = 1.

    Needs no other image of the target. Costs the computation of statistics of every layer's input.

    Raises:
        RuntimeError: when it is followed, if a layer lacks ``image_scatter``: how much images of one source differ.

    Example:
        >>> model = convert_gdnorm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), num_domains=3)
        >>> model[1].image_scatter = torch.tensor([0.3, 2.0])  # measured by training
        >>> with follow(model, InstancePath()):
        ...     out = model(torch.randn(4, 3, 16, 8))
    """

    def __init__(self) -> None:
        self._of_layer: dict[BranchedNorm, Prior] = {}

    def start(self, layers: Mapping[str, BranchedNorm]) -> None:
        priors = {layer: Prior.of(layer) for layer in layers.values()}
        if any(prior.scatter is None for prior in priors.values()):
            raise RuntimeError("this model lacks image_scatter: measure it along a BranchStatisticsPath of each source")
        self._of_layer.update(priors)

    def normalize(self, layer: BranchedNorm, x: Tensor) -> Tensor:
        mean, within = moments_per_image(x)
        nothing = torch.zeros_like(mean)
        own = self._of_layer[layer].given(Evidence(1, mean, within, nothing, nothing, layer.branches[0].eps))
        like = layer.branches[0].weight
        a, b = layer.average_affine(own.mean.to(like), own.var.to(like))
        return normalize_each(x, a, b)
