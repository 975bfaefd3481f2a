"""The Gaussian process: the moments of every layer's a and b, indexed by depth (section 3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn

from .gdnorm import gdnorm_layers


class Moments(NamedTuple):
    """The M(a), variance of a, M(b) and variance of b of one layer (Eq. 10), each (C,)."""

    mean_a: Tensor
    var_a: Tensor
    mean_b: Tensor
    var_b: Tensor


class GaussianProcess:
    """The Gaussian process over the branches of a model. ``len`` is its depth L; iterating gives (name, Moments).

    It is a view: its moments follow the model as it changes, and are differentiable.

    Raises:
        ValueError: the model has no GDNorm layer.

    Example:
        >>> model = convert_gdnorm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), num_domains=3)
        >>> for name, moments in GaussianProcess(model):
        ...     print(name, moments.mean_a.shape)
        1 torch.Size([8])
    """

    def __init__(self, model: nn.Module) -> None:
        self.layers = gdnorm_layers(model)
        if not self.layers:
            raise ValueError(f"{type(model).__name__} has no GDNorm layer: convert it with convert_gdnorm")

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, name: str) -> Moments:
        return Moments(*self.layers[name].moments())

    def __iter__(self) -> Iterator[tuple[str, Moments]]:
        return ((name, self[name]) for name in self.layers)

    def spread(self) -> tuple[float, float]:
        """How far apart the branches are: the variances of a and b, averaged over channels and then over layers."""
        of_a = sum(moments.var_a.mean() for _, moments in self)
        of_b = sum(moments.var_b.mean() for _, moments in self)
        return float(of_a) / len(self), float(of_b) / len(self)
