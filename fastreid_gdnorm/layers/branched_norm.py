"""K ordinary ``BatchNorm2d`` branches that replace one, and the values of them that paths use."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

BRANCHABLE = (nn.BatchNorm2d, nn.SyncBatchNorm)


class BranchedNorm(nn.Module):
    """The branches of a :class:`GDNorm` layer, and their affine maps.

    Args:
        bn: the layer to copy into every branch: weights, population statistics, eps, momentum, mode, and which
            parameters are frozen. ``BatchNorm2d`` or ``SyncBatchNorm``, affine, with running statistics and the stock
            forward. A ``SyncBatchNorm`` becomes ``BatchNorm2d`` branches that are ``synchronized``.
        num_domains: K, at least 1.

    Attributes:
        branches: K ``BatchNorm2d``, one per source domain.
        synchronized: whether training takes batch statistics over the batches of all processes.
        path_mean, path_var: statistics measured on the mean path itself, each (C,), or None. A :class:`PooledPath`
            measures them; from then on they are in the state dict.
        image_scatter: (2,), how much images of one source differ (:meth:`Evidence.scatter`), averaged over the
            sources, or None.

    Raises:
        ValueError: ``bn`` cannot be branched, or ``num_domains`` is below 1.
    """

    def __init__(self, bn: nn.BatchNorm2d | nn.SyncBatchNorm, num_domains: int) -> None:
        super().__init__()
        if num_domains < 1:
            raise ValueError(f"num_domains must be 1 or more; got {num_domains}")
        reason = why_not_branchable(bn)
        if reason:
            raise ValueError(f"GDNorm cannot branch {type(bn).__name__}: {reason}")
        self.synchronized = isinstance(bn, nn.SyncBatchNorm)
        bn = _plain(bn) if isinstance(bn, nn.SyncBatchNorm) else bn
        branches = nn.ModuleList(copy.deepcopy(bn) for _ in range(num_domains)).train(bn.training)
        self.branches = cast("Sequence[nn.BatchNorm2d]", branches)  # torch's types do not know what a ModuleList holds
        self.training = bn.training
        self.path_mean: Tensor | None
        self.path_var: Tensor | None
        self.image_scatter: Tensor | None
        for name in ("path_mean", "path_var", "image_scatter"):
            self.register_buffer(name, None)

    @property
    def num_domains(self) -> int:
        """K."""
        return len(self.branches)

    def stacked(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The branches' gamma, beta, population mean and variance, each (K, C), differentiable."""
        weight, bias, mean, var = (
            torch.stack([getattr(branch, name) for branch in self.branches])
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        return weight, bias, mean, var

    def affine(self) -> tuple[Tensor, Tensor]:
        """The branches as affine maps by their population statistics: (a, b), each (K, C), differentiable."""
        weight, bias, mean, var = self.stacked()
        a = weight / torch.sqrt(var + self.branches[0].eps)  # Eq. 9
        return a, bias - a * mean

    def average_affine(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """(a, b) of the averaged gamma and beta with the given statistics, in their shape (C,) or (B, C).

        Differentiable.
        """
        weight, bias, _, _ = self.stacked()
        a = weight.mean(0) / torch.sqrt(var + self.branches[0].eps)  # Eq. 9 of the averages
        return a, bias.mean(0) - a * mean

    def moments(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean and variance over the branches: (M(a), var(a), M(b), var(b)), each (C,), differentiable."""
        a, b = self.affine()
        return (*_mean_and_variance(a), *_mean_and_variance(b))


def why_not_branchable(bn: nn.modules.batchnorm._BatchNorm) -> str:
    """Why ``bn`` cannot be branched, or ""."""
    stock = next((kind for kind in BRANCHABLE if isinstance(bn, kind)), None)
    if stock is None:
        return "it is not a BatchNorm2d"
    if type(bn).forward is not stock.forward:
        return f"its forward is not that of {stock.__name__}; set the layer's NORM to BN"
    tensors = (bn.weight, bn.bias, bn.running_mean, bn.running_var)
    if any(tensor is None for tensor in tensors):
        return "Eq. 9 needs its gamma, beta and population statistics (affine, bias, track_running_stats)"
    return ""


def _plain(bn: nn.SyncBatchNorm) -> nn.BatchNorm2d:
    plain = nn.BatchNorm2d(bn.num_features, bn.eps, bn.momentum, bn.affine, bn.track_running_stats)
    plain.to(bn.weight).load_state_dict(bn.state_dict())
    for own, of in zip(plain.parameters(), bn.parameters()):
        own.requires_grad_(of.requires_grad)
    return plain.train(bn.training)


def _mean_and_variance(values: Tensor) -> tuple[Tensor, Tensor]:
    mean = values.mean(0)
    return mean, (values - mean).square().mean(0)  # Eq. 10
