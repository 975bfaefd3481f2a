"""What the processes of one training do together, differentiably; alone, a process is all there are.

A loss of what these functions give is the same on every process, and its gradient reaches the others' inputs too. With
N processes a gradient is therefore N times the loss's own, which the average that ``DistributedDataParallel`` takes
over the processes makes up for.
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
    """x (B, ...) of all processes, in the order of their ranks: (sum of B, ...). The B may differ, and be 0."""
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
    """Whether ``flag`` is true on all processes."""
    return flag if num_processes() == 1 else int(_sum_of_all(torch.tensor(int(flag), device=device))) == num_processes()


def broadcast_from_rank0(tensors: Sequence[Tensor]) -> None:
    """Give ``tensors`` the values that they have on the process of rank 0, by one broadcast."""
    if num_processes() > 1 and tensors:
        values = torch.cat([tensor.flatten() for tensor in tensors])
        dist.broadcast(values, 0)
        for tensor, own in zip(tensors, values.split([tensor.numel() for tensor in tensors])):
            tensor.copy_(own.view_as(tensor))


def synchronized_batch_norm(
    norms: Sequence[BatchNorm], x: Tensor, domains: Tensor | None = None, moves: bool = True
) -> Tensor:
    """Batch norm by the statistics of all processes' images, those of each domain apart (Eq. 5-7).

    Equal to what one process makes of all the images. ``torch.nn.SyncBatchNorm`` does this for one domain and on CUDA
    alone. One all-reduce of (K, 2C + 1) values forward, and one backward.

    Args:
        norms: K, whose running statistics are moved; one in eval mode normalises by these and keeps them.
        x: (B, C, H, W) or (B, C); H and W are the same on all processes.
        domains: LongTensor (B,), the number of each image's norm; None if it is the first one's.
        moves: False where the images were normalised before, and moved the running statistics then.
    """
    images = x if x.dim() == 4 else x[:, :, None, None]
    if domains is None:
        domains = torch.zeros(len(x), dtype=torch.long, device=x.device)
    around = torch.stack([cast("Tensor", bn.running_mean) for bn in norms])  # the same on all processes
    count, mean, var = _statistics_of_all(images, domains, around)
    for bn, *of_domain in zip(norms, count, mean.detach(), var.detach()):
        if bn.training and moves:
            _move(bn, *of_domain)
    trained = torch.tensor([bn.training for bn in norms], device=x.device)[:, None]
    mean = torch.where(trained, mean, around)
    var = torch.where(trained, var, torch.stack([cast("Tensor", bn.running_var) for bn in norms]))
    a = torch.stack([bn.weight for bn in norms]) / torch.sqrt(var + norms[0].eps)
    b = torch.stack([bn.bias for bn in norms]) - a * mean
    return normalize_each(images, a[domains], b[domains]).view_as(x)


class SynchronizedBatchNorm(nn.BatchNorm2d):
    """``torch.nn.SyncBatchNorm`` for any device: its batch is that of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W)."""
        if self.training and num_processes() > 1:
            return synchronized_batch_norm([self], x)
        out: Tensor = super().forward(x)
        return out


def _statistics_of_all(images: Tensor, domains: Tensor, around: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(number of values, (K,); their mean and biased variance, (K, C)) of each domain; where there are none, 0 and 1.

    Sums are about ``around``, (K, C), so that they lose no digits.
    """
    wide = torch.promote_types(images.dtype, around.dtype)
    mean, var = moments(images.to(wide))
    deviation = mean - around[domains]
    ones = torch.ones_like(deviation[:, :1])
    sums = around.new_zeros(len(around), 2 * images.shape[1] + 1)
    sums = sums.index_add(0, domains, torch.cat([deviation, var + deviation.square(), ones], 1))
    sums = _sum_of_all(sums)
    deviation, square, count = sums.split([images.shape[1], images.shape[1], 1], 1)
    there_are = count.clamp(min=1)
    deviation, square = deviation / there_are, square / there_are
    of_none = (count == 0).to(wide)
    pixels = images.shape[2] * images.shape[3]
    var = (square - deviation.square()).clamp(min=0)  # of a constant channel far from around, rounding makes less
    return (count * pixels).squeeze(1), around + deviation, var + of_none


@torch.no_grad()
def _move(bn: BatchNorm, count: Tensor, mean: Tensor, var: Tensor) -> None:
    """Eq. 7, as ``BatchNorm2d`` does it, if there are images of the domain."""
    there_are = (count > 0).to(mean)
    moved = cast("Tensor", bn.num_batches_tracked)
    moved += there_are.long()
    share = (1 / moved.clamp(min=1) if bn.momentum is None else bn.momentum) * there_are
    unbiased = var * count / (count - 1).clamp(min=1)
    for running, values in ((bn.running_mean, mean), (bn.running_var, unbiased)):
        own = cast("Tensor", running)
        own.lerp_(values.to(own), share.to(own))


def _sum_of_all(values: Tensor) -> Tensor:
    total: Tensor = _SumOfAll.apply(values)
    return total


class _SumOfAll(torch.autograd.Function):
    """Every process's output is the sum of all inputs, so an input's gradient is the sum of all outputs'."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _sum_of_all(gradient)
