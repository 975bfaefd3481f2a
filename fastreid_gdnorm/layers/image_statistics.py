"""What images say about a layer's statistics, and how surely."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .distributed import gather_rows
from .image_moments import moments


class Evidence(NamedTuple):
    """The statistics of n images in a layer, each (C,) in double.

    Args:
        images: n, at least 1.
        mean: over all images.
        within: mean of the images' own variances.
        between: variance between the images' means, unbiased; 0 for a single image.
        log_var_spread: n times the sampling variance of ``log(var + eps)``, as the images vary.
        eps: of the layer's BN.
    """

    images: int
    mean: Tensor
    within: Tensor
    between: Tensor
    log_var_spread: Tensor
    eps: float

    def log_var(self) -> Tensor:
        """log(var + eps); var is that of all values of all images (law of total variance)."""
        return torch.log(self.within + self.between + self.eps)

    def scatter(self) -> Tensor:
        """(2,): how much images differ, n times the sampling variances of the two statistics, averaged over channels.

        Of the mean, in units of the channel's variance; and of log(var + eps).
        """
        return torch.stack([(self.between / self.log_var().exp()).mean(), self.log_var_spread.mean()])


def of_each_image(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of every image and channel of x (B, C, H, W): each (B, C) in double."""
    x = x if x.dtype is torch.float64 else x.float()
    mean, var = moments(x)
    return mean.double(), var.double()


class ImageStatistics:
    """Takes evidence from any number of batches, in memory of a few values for each channel.

    Args:
        around: (C,), a value near the means to expect; sums are taken about it, so that they lose no digits.
    """

    def __init__(self, around: Tensor) -> None:
        self.images = 0
        self._around = around.double()
        # of an image's mean d and mean square s, both about ``around``: sums of (d, s), and of their products
        self._sums = torch.zeros(2, len(around), dtype=torch.float64, device=around.device)
        self._products = torch.zeros(2, 2, len(around), dtype=torch.float64, device=around.device)

    def add(self, x: Tensor) -> None:
        """Count in the images x (B, C, H, W)."""
        mean, var = of_each_image(x)
        own = mean - self._around
        values = torch.stack((own, var + own.square()))  # (2, B, C)
        self.images += len(x)
        self._sums += values.sum(1)
        self._products += torch.einsum("ibc,jbc->ijc", values, values)

    def evidence(self, eps: float) -> Evidence:
        """Of all images so far, of which there must be one."""
        return self._evidence(self.images, self._sums, self._products, eps)

    def evidence_of_all_processes(self, eps: float) -> Evidence:
        """As :meth:`evidence`, of the images that all processes have counted in about the same values."""
        images = self._sums.new_tensor(self.images).expand(1, 1, len(self._around))
        rows = torch.cat([images, self._sums.unsqueeze(1), self._products.flatten(0, 1).unsqueeze(1)])
        images, sums, products = gather_rows(rows.transpose(0, 1)).sum(0).split([1, 2, 4])
        return self._evidence(int(images[0, 0]), sums, products.unflatten(0, (2, 2)), eps)

    def _evidence(self, n: int, sums: Tensor, products: Tensor, eps: float) -> Evidence:
        (d, s), freedom = sums / n, max(n - 1, 1)
        covariance = (products - sums.unsqueeze(1) * sums / n) / freedom
        within = (s - products[0, 0] / n).clamp(min=0)
        between = covariance[0, 0].clamp(min=0)
        # An image contributes s - 2 d * mean(d) + mean(d)^2 to the variance, which is the mean of these. By the delta
        # method, log(var + eps) varies as they do, divided by var + eps.
        of_contributions = covariance[1, 1] - 4 * d * covariance[0, 1] + 4 * d.square() * covariance[0, 0]
        spread = of_contributions.clamp(min=0) / (within + between + eps).square()
        return Evidence(n, self._around + d, within, between, spread, eps)
