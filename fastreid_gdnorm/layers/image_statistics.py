"""Estimates of a layer's statistics from images, and how uncertain they are."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .distributed import gather_rows
from .image_moments import moments


class Evidence(NamedTuple):
    """The statistics of n images in a layer, each (C,) in double precision.

    Args:
        images: n, at least 1.
        mean: the mean over all images.
        within: the mean of the images' own variances.
        between: the unbiased variance between the images' means; 0 for a single image.
        log_var_spread: n times the sampling variance of ``log(var + eps)``, estimated from the images.
        eps: the eps of the layer's BN.
    """

    images: int
    mean: Tensor
    within: Tensor
    between: Tensor
    log_var_spread: Tensor
    eps: float

    def log_var(self) -> Tensor:
        """log(var + eps), where var is the variance of all values of all images (law of total variance)."""
        return torch.log(self.within + self.between + self.eps)

    def scatter(self) -> Tensor:
        """How much images differ, (2,): n times the sampling variances of two statistics, averaged over channels.

        The first is that of the mean, in units of the channel's variance; the second that of log(var + eps).
        """
        return torch.stack([(self.between / self.log_var().exp()).mean(), self.log_var_spread.mean()])


def moments_per_image(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of every image and channel of x (B, C, H, W): each (B, C), in double precision."""
    x = x if x.dtype is torch.float64 else x.float()
    mean, var = moments(x)
    return mean.double(), var.double()


class ImageStatistics:
    """Accumulates evidence over any number of batches, in a few numbers per channel.

    Args:
        around: (C,), roughly the expected mean. Sums are of deviations from it, to avoid cancellation.
    """

    def __init__(self, around: Tensor) -> None:
        self.images = 0
        self._around = around.double()
        # an image's mean d and mean square s are about ``around``; these are sums of (d, s) and of their products
        self._sums = torch.zeros(2, len(around), dtype=torch.float64, device=around.device)
        self._products = torch.zeros(2, 2, len(around), dtype=torch.float64, device=around.device)

    def add(self, x: Tensor) -> None:
        """Add the images x (B, C, H, W)."""
        mean, var = moments_per_image(x)
        own = mean - self._around
        values = torch.stack((own, var + own.square()))  # (2, B, C)
        self.images += len(x)
        self._sums += values.sum(1)
        self._products += torch.einsum("ibc,jbc->ijc", values, values)

    def evidence(self, eps: float) -> Evidence:
        """The evidence of all images so far, at least one."""
        return self._evidence(self.images, self._sums, self._products, eps)

    def evidence_of_all_processes(self, eps: float) -> Evidence:
        """Like :meth:`evidence`, for the images of all processes, which must have used the same ``around``."""
        images = self._sums.new_tensor(self.images).expand(1, 1, len(self._around))
        rows = torch.cat([images, self._sums.unsqueeze(1), self._products.flatten(0, 1).unsqueeze(1)])
        images, sums, products = gather_rows(rows.transpose(0, 1)).sum(0).split([1, 2, 4])
        return self._evidence(int(images[0, 0]), sums, products.unflatten(0, (2, 2)), eps)

    def _evidence(self, n: int, sums: Tensor, products: Tensor, eps: float) -> Evidence:
        (d, s), freedom = sums / n, max(n - 1, 1)
        covariance = (products - sums.unsqueeze(1) * sums / n) / freedom
        within = (s - products[0, 0] / n).clamp(min=0)
        between = covariance[0, 0].clamp(min=0)
        # The variance is the mean over images of their contributions s - 2 d * mean(d) + mean(d)^2. By the delta
        # method, the spread of log(var + eps) is that of the contributions, divided by (var + eps)^2.
        of_contributions = covariance[1, 1] - 4 * d * covariance[0, 1] + 4 * d.square() * covariance[0, 0]
        spread = of_contributions.clamp(min=0) / (within + between + eps).square()
        return Evidence(n, self._around + d, within, between, spread, eps)
