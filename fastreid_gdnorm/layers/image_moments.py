"""The first two moments of an image's channels."""

from __future__ import annotations

import torch
from torch import Tensor


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of every image and channel of x (B, C, H, W): each (B, C)."""
    if x.is_cuda:
        var, mean = torch.var_mean(x, dim=(2, 3), correction=0)
        return mean, var
    # two passes: on a CPU, torch.var_mean takes 3 to 30 times as long
    around = x.mean((2, 3), keepdim=True)
    return around.flatten(1), (x - around).square().mean((2, 3))
