"""Differentiable communication between the processes of one training; with a single process, no communication.

A loss computed from these functions' results is the same in every process, and its gradient reaches the inputs of all
processes. With N processes each gradient is therefore N times too large; ``DistributedDataParallel`` averages gradients
over the processes, which divides by N again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .image_moments import moments
from .paths import normalize_each

BatchNorm = nn.modules.batchnorm._BatchNorm


def num_processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather_rows(x: Tensor) -> Tensor:
    """The rows x (B, ...) of all processes in the order of their ranks: (sum of B, ...). B can differ, and can be 0."""
    if num_processes() == 1:
        return x
    sizes = torch.zeros(num_processes(), dtype=torch.long, device=x.device)
    sizes[dist.get_rank()] = len(x)
    dist.all_reduce(sizes)
    before = int(sizes[: dist.get_rank()].sum())
    after = int(sizes.sum()) - before - len(x)
    rows = torch.cat([x.new_zeros(before, *x.shape[1:]), x, x.new_zeros(after, *x.shape[1:])])
    return _sum_of_all(rows)


def all_ranks(flag: bool, device: torch.device) -> bool:
    """Whether ``flag`` is true in all processes."""
    return flag if num_processes() == 1 else int(_sum_of_all(torch.tensor(int(flag), device=device))) == num_processes()


def broadcast_from_rank0(tensors: Sequence[Tensor]) -> None:
    """Overwrite ``tensors`` with their values in the process of rank 0, in one broadcast."""
    if num_processes() > 1 and tensors:
        values = torch.cat([tensor.flatten() for tensor in tensors])
        dist.broadcast(values, 0)
        for tensor, own in zip(tensors, values.split([tensor.numel() for tensor in tensors])):
            tensor.copy_(own.view_as(tensor))


def synchronized_batch_norm(
    norms: Sequence[BatchNorm], x: Tensor, domains: Tensor | None = None, updates: bool = True
) -> Tensor:
    """Batch norm with the statistics of all processes' images, separately for each domain (Eq. 5-7).

    Equals what one process computes on all the images. ``torch.nn.SyncBatchNorm`` does the same for one domain, and
    only on CUDA. Costs one all-reduce of (K, 2C + 1) values forward, and one backward.

    Args:
        norms: K layers, whose running statistics are updated. A layer in eval mode normalises by its running statistics
            and keeps them.
        x: (B, C, H, W) or (B, C). H and W must be the same in all processes.
        domains: LongTensor (B,), which of ``norms`` each image goes through; None means the first.
        updates: whether to update running statistics; False if the same images already did.
    """
    images = x if x.dim() == 4 else x[:, :, None, None]
    if domains is None:
        domains = torch.zeros(len(x), dtype=torch.long, device=x.device)
    around = torch.stack([cast("Tensor", bn.running_mean) for bn in norms])  # the same in all processes
    count, mean, var = _statistics_of_all(images, domains, around)
    for bn, *of_domain in zip(norms, count, mean.detach(), var.detach()):
        if bn.training and updates:
            _update(bn, *of_domain)
    trained = torch.tensor([bn.training for bn in norms], device=x.device)[:, None]
    mean = torch.where(trained, mean, around)
    var = torch.where(trained, var, torch.stack([cast("Tensor", bn.running_var) for bn in norms]))
    a = torch.stack([bn.weight for bn in norms]) / torch.sqrt(var + norms[0].eps)
    b = torch.stack([bn.bias for bn in norms]) - a * mean
    return normalize_each(images, a[domains], b[domains]).view_as(x)


class SynchronizedBatchNorm(nn.BatchNorm2d):
    """``torch.nn.SyncBatchNorm`` for any device: normalises by the batches of all processes together."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (B, C, H, W)."""
        if self.training and num_processes() > 1:
            return synchronized_batch_norm([self], x)
        out: Tensor = super().forward(x)
        return out


def _statistics_of_all(images: Tensor, domains: Tensor, around: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each domain the number of values (K,), their mean and biased variance, each (K, C).

    A domain without images gets the mean ``around`` and the variance 1. Sums are of deviations from ``around`` (K, C),
    to avoid cancellation.
    """
    wide = torch.promote_types(images.dtype, around.dtype)
    mean, var = moments(images.to(wide))
    deviation = mean - around[domains]
    ones = torch.ones_like(deviation[:, :1])
    sums = around.new_zeros(len(around), 2 * images.shape[1] + 1)
    sums = sums.index_add(0, domains, torch.cat([deviation, var + deviation.square(), ones], 1))
    sums = _sum_of_all(sums)
    deviation, square, count = sums.split([images.shape[1], images.shape[1], 1], 1)
    images_or_1 = count.clamp(min=1)
    deviation, square = deviation / images_or_1, square / images_or_1
    is_empty = (count == 0).to(wide)
    pixels = images.shape[2] * images.shape[3]
    var = (square - deviation.square()).clamp(min=0)  # rounding can make it negative in a constant channel
    return (count * pixels).squeeze(1), around + deviation, var + is_empty


@torch.no_grad()
def _update(bn: BatchNorm, count: Tensor, mean: Tensor, var: Tensor) -> None:
    """Update running statistics (Eq. 7) as ``BatchNorm2d`` does, unless the domain has no images."""
    has_images = (count > 0).to(mean)
    tracked = cast("Tensor", bn.num_batches_tracked)
    tracked += has_images.long()
    share = (1 / tracked.clamp(min=1) if bn.momentum is None else bn.momentum) * has_images
    unbiased = var * count / (count - 1).clamp(min=1)
    for running, values in ((bn.running_mean, mean), (bn.running_var, unbiased)):
        own = cast("Tensor", running)
        own.lerp_(values.to(own), share.to(own))


def _sum_of_all(values: Tensor) -> Tensor:
    total: Tensor = _SumOfAll.apply(values)
    return total


class _SumOfAll(torch.autograd.Function):
    """The sum over all processes. Its gradient is the sum of all processes' gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _sum_of_all(gradient)
