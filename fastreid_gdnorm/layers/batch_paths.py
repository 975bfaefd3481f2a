"""Paths that normalise by batch statistics: of each domain, or of all images together."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .branched_norm import BranchedNorm
from .distributed import num_processes, synchronized_batch_norm
from .image_statistics import ImageStatistics
from .paths import MeanPath, Path, check_images, check_numbers
from .recomputation import in_backward_pass
from .running_statistics import start_average


class DomainPath(Path):
    """Each image goes through the branch of its own domain (Eq. 5).

    In training mode, a branch normalises by the statistics of its domain's images in the batch (Eq. 6) and updates its
    running statistics with them (Eq. 7). In eval mode, it normalises by its population statistics. Running statistics
    do not change if the domain is not in the batch, or if activation checkpointing runs the layer again in the backward
    pass. In a synchronized layer, the batch is that of all processes together.

    Args:
        domains: LongTensor (B,), the images' domains in any order.

    Attributes:
        present: the domains in the batch.
        counts: how many images each of them has.

    Raises:
        ValueError: ``domains`` has another shape or type.

    Example:
        >>> model = convert_gdnorm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), num_domains=3)
        >>> with follow(model, DomainPath(torch.tensor([1, 0, 1, 0]))):
        ...     out = model(torch.randn(4, 3, 16, 8))
        >>> [int(branch.num_batches_tracked) for branch in model[1].branches]
        [1, 1, 0]
    """

    def __init__(self, domains: Tensor) -> None:
        check_numbers("domains", domains)
        self.domains = domains
        self._order = torch.argsort(domains, stable=True)
        present, counts = torch.unique(domains, return_counts=True)
        self.present = present.tolist()
        self.counts = counts.tolist()
        self._restore: Tensor | None = None
        if not torch.equal(self._order, torch.arange(len(domains), device=domains.device)):
            self._restore = torch.argsort(self._order)

    def normalize(self, layer: BranchedNorm, x: Tensor) -> Tensor:
        """Normalise x (B, C, H, W).

        Raises:
            ValueError: the number of images is not that of ``domains``, a domain is not below K, or a domain has one
                value per channel, too few for statistics.
        """
        check_images(x, len(self.domains))
        if self.present and not 0 <= self.present[0] <= self.present[-1] < layer.num_domains:
            raise ValueError(f"the batch has domains {self.present}, but the model has {layer.num_domains} branches")
        is_recomputed = in_backward_pass()
        if layer.synchronized and num_processes() > 1 and layer.training:
            return synchronized_batch_norm(layer.branches, x, self.domains, updates=not is_recomputed)
        if self._restore is not None:
            x = x[self._order]
        parts = []
        for k, part in zip(self.present, x.split(self.counts)):
            branch = layer.branches[k]
            if branch.training and part.numel() == part.shape[1]:
                raise ValueError(f"domain {k} has one value per channel in the batch, too few for batch statistics")
            parts.append(_recomputed(branch, part) if is_recomputed and branch.training else branch(part))
        if not parts:  # an empty batch has no statistics
            return MeanPath().normalize(layer, x)
        out = parts[0] if len(parts) == 1 else torch.cat(parts)
        return out if self._restore is None else out[self._restore]


def _recomputed(branch: nn.BatchNorm2d, part: Tensor) -> Tensor:
    """The output of ``branch`` in training mode, without updating its running statistics a second time."""
    mean, var = (cast("Tensor", values).clone() for values in (branch.running_mean, branch.running_var))
    return F.batch_norm(part, mean, var, branch.weight, branch.bias, training=True, momentum=0.0, eps=branch.eps)


class StatisticsPath(Path):
    """Measures a path's population statistics, with all images as one domain.

    Layers normalise by the statistics of the batch, taken over all processes. Their plain average over the batches is
    what ``keep`` stores in the layers; until then the branches do not change. No gradients reach the branches.

    Attributes:
        norms: for each layer, the ``BatchNorm2d`` that accumulates its statistics.
    """

    def __init__(self) -> None:
        self.norms: dict[BranchedNorm, nn.BatchNorm2d] = {}

    def start(self, layers: Mapping[str, BranchedNorm]) -> None:
        for layer in layers.values():
            if layer not in self.norms:
                self.norms[layer] = self._norm(layer)

    def normalize(self, layer: BranchedNorm, x: Tensor) -> Tensor:
        """Normalise x (B, C, H, W)."""
        if num_processes() > 1:
            return synchronized_batch_norm([self.norms[layer]], x)
        out: Tensor = self.norms[layer](x)
        return out

    def keep(self) -> None:
        """Store the measured statistics in the layers."""
        raise NotImplementedError

    def _affine(self, layer: BranchedNorm) -> tuple[Tensor, Tensor]:
        """The path's gamma and beta, each (C,)."""
        raise NotImplementedError

    @torch.no_grad()
    def _norm(self, layer: BranchedNorm) -> nn.BatchNorm2d:
        bn = copy.deepcopy(layer.branches[0])
        weight, bias = self._affine(layer)
        bn.weight.copy_(weight)
        bn.bias.copy_(bias)
        start_average(bn)
        return bn.requires_grad_(False)


class BranchStatisticsPath(StatisticsPath):
    """Measures the population statistics of one branch; ``keep`` stores them in it.

    Args:
        k: the branch's domain, from 0.

    Attributes:
        images: for each layer, the :class:`ImageStatistics` of its input.

    Example:
        >>> model = convert_gdnorm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), num_domains=3)
        >>> path = BranchStatisticsPath(1)
        >>> with follow(model, path), torch.no_grad():
        ...     out = model(torch.randn(4, 3, 16, 8))
        >>> path.keep()
        >>> [bool(branch.running_mean.any()) for branch in model[1].branches]
        [False, True, False]
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k
        self.images: dict[BranchedNorm, ImageStatistics] = {}

    def normalize(self, layer: BranchedNorm, x: Tensor) -> Tensor:
        if layer not in self.images:
            self.images[layer] = ImageStatistics(cast("Tensor", layer.branches[self.k].running_mean))
        self.images[layer].add(x)
        return super().normalize(layer, x)

    def keep(self) -> None:
        for layer, bn in self.norms.items():
            branch = layer.branches[self.k]
            for name, values in bn.named_buffers():
                getattr(branch, name).copy_(values)

    def _affine(self, layer: BranchedNorm) -> tuple[Tensor, Tensor]:
        return layer.branches[self.k].weight, layer.branches[self.k].bias


class PooledPath(StatisticsPath):
    """Measures the statistics that ``MeanPath("path")`` needs, with the branches' averaged gamma and beta.

    Example:
        >>> model = convert_gdnorm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), num_domains=3)
        >>> path = PooledPath()
        >>> with follow(model, path):
        ...     out = model(torch.randn(4, 3, 16, 8))
        >>> path.keep()
        >>> stock = fold_gdnorm(model, MeanPath("path"))
    """

    def keep(self) -> None:
        for layer, bn in self.norms.items():
            layer.path_mean, layer.path_var = bn.running_mean, bn.running_var

    def _affine(self, layer: BranchedNorm) -> tuple[Tensor, Tensor]:
        weight, bias, _, _ = layer.stacked()
        return weight.mean(0), bias.mean(0)
