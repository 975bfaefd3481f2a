"""Paths: one choice of (a, b) for every layer of the network.

A :class:`GDNorm` layer calls its path's ``normalize(layer, x)``. A path that is one affine map for all images also has
``affine(layer)``, so it can be folded into a stock BN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .branched_norm import BranchedNorm

MEANS = ("affine", "statistics", "path")


class Path:
    """The base class of all paths: says how a GDNorm layer normalises its input."""

    def start(self, layers: Mapping[str, BranchedNorm]) -> None:
        """Called with the model's {name: layer} whenever the model is put on this path or folded along it."""

    def normalize(self, layer: BranchedNorm, x: Tensor) -> Tensor:
        """Normalise x (B, C, H, W) of any float type; the result has the same type."""
        raise NotImplementedError


class AffinePath(Path):
    """The base class of paths that are one affine map for all images: a*x + b with (a, b) = ``affine(layer)``.

    Example:
        >>> class MedianPath(AffinePath):
        ...     def affine(self, layer):
        ...         a, b = layer.affine()  # each (K, C)
        ...         return a.median(0).values, b.median(0).values
    """

    def affine(self, layer: BranchedNorm) -> tuple[Tensor, Tensor]:
        """(a, b), each (C,)."""
        raise NotImplementedError

    def statistics(self, layer: BranchedNorm) -> tuple[Tensor, Tensor]:
        """The running mean and variance, each (C,), of the stock BN that the path folds into: branch averages."""
        _, _, mean, var = layer.stacked()
        return mean.mean(0), var.mean(0)

    def normalize(self, layer: BranchedNorm, x: Tensor) -> Tensor:
        """Normalise x (B, C, H, W) of any float type; the result has the same type. Updates no statistics."""
        a, b = self.affine(layer)
        # a*x + b in one kernel, which accepts half-precision x with full-precision a and b
        return F.batch_norm(x, torch.zeros_like(a), torch.ones_like(a), a, b, training=False, eps=0.0)


class MeanPath(AffinePath):
    """The mean of the Gaussian process: the default path, and the one that tests follow.

    Args:
        of: what is averaged over the branches. "affine": a and b, which gives M(a), M(b) (Eq. 10). "statistics": gamma,
            beta, mu and sigma^2, the "mean parameters" of section 4.4. "path": gamma and beta; the statistics are
            measured along the mean path itself, by a :class:`PooledPath`.

    Raises:
        ValueError: ``of`` is none of these.

    Example:
        >>> model = convert_gdnorm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), num_domains=3)
        >>> with follow(model, MeanPath("statistics")):
        ...     out = model(torch.randn(4, 3, 16, 8))
    """

    def __init__(self, of: str = "affine") -> None:
        if of not in MEANS:
            raise ValueError(f"MeanPath: of must be one of {', '.join(map(repr, MEANS))}; got {of!r}")
        self.of = of

    def affine(self, layer: BranchedNorm) -> tuple[Tensor, Tensor]:
        """(a, b), each (C,).

        Raises:
            RuntimeError: ``of`` is "path", and no :class:`PooledPath` has measured the statistics yet.
        """
        if self.of == "affine":
            a, b = layer.affine()
            return a.mean(0), b.mean(0)  # Eq. 10
        return layer.average_affine(*self.statistics(layer))

    def statistics(self, layer: BranchedNorm) -> tuple[Tensor, Tensor]:
        if self.of != "path":
            return super().statistics(layer)
        if layer.path_mean is None or layer.path_var is None:
            raise RuntimeError("the mean path has no statistics of its own yet: measure them along a PooledPath")
        return layer.path_mean, layer.path_var


class SourcePath(AffinePath):
    """One source domain's branch with its population statistics (Eq. 8).

    Args:
        k: the domain's number, from 0: its position in DATASETS.NAMES.

    Example:
        >>> model = convert_gdnorm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), num_domains=3).eval()
        >>> images = torch.randn(4, 3, 16, 8)
        >>> with follow(model, SourcePath(1)):
        ...     out = model(images)
        >>> torch.allclose(out, model[1].branches[1](model[0](images)), atol=1e-6)
        True
    """

    def __init__(self, k: int) -> None:
        self.k = k

    def affine(self, layer: BranchedNorm) -> tuple[Tensor, Tensor]:
        if not 0 <= self.k < layer.num_domains:
            raise ValueError(f"there is no source {self.k}: the model has the sources 0 to {layer.num_domains - 1}")
        a, b = layer.affine()
        return a[self.k], b[self.k]


class SampledPath(AffinePath):
    """A path sampled from the Gaussian process (Eq. 11), differentiable in every branch's gamma and beta.

    The noise is sampled once for each layer, in the order of the layers' names; a and b follow the branches as these
    are trained. So one object is the same path in any number of passes and in copies of the model. With the same seed
    and layer names, a generator always gives the same path, whether it is followed or folded.

    Args:
        scale: lambda in Eq. 11.
        noise: what scales the noise: "variance", as Eq. 11 prints it, or "std", the usual choice.
        generator: where the noise comes from; by default the global generator of the layer's device.

    Attributes:
        largest_a: the largest |a| in any layer so far, a scalar tensor, or None.

    Raises:
        ValueError: ``noise`` is neither of the two.

    Example:
        >>> model = convert_gdnorm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), num_domains=3)
        >>> path = SampledPath(generator=torch.Generator().manual_seed(0))
        >>> with follow(model, path):
        ...     model(torch.randn(4, 3, 16, 8)).square().sum().backward()
        >>> all(branch.weight.grad is not None for branch in model[1].branches)
        True
    """

    def __init__(self, scale: float = 0.6, noise: str = "variance", generator: torch.Generator | None = None) -> None:
        if noise not in ("variance", "std"):
            raise ValueError(f"noise must be 'variance' or 'std'; got {noise!r}")
        self.scale = scale
        self.noise = noise
        self.generator = generator
        self.largest_a: Tensor | None = None
        self._of_name: dict[str, Tensor] = {}
        self._of_layer: dict[BranchedNorm, Tensor] = {}

    def start(self, layers: Mapping[str, BranchedNorm]) -> None:
        for name in sorted(layers):
            layer = layers[name]
            if name not in self._of_name:
                self._of_name[name] = self._draw(layer)
            self._of_layer[layer] = self._of_name[name]

    def drawn(self) -> list[Tensor]:
        """The noise of each layer so far, (2, C) for its a and b, in the order of the layers' names."""
        return list(self._of_name.values())

    def affine(self, layer: BranchedNorm) -> tuple[Tensor, Tensor]:
        if layer not in self._of_layer:
            self._of_layer[layer] = self._draw(layer)
        branches = self.branches(layer)
        a, b = (
            values.mean(0) + self.scale * self._spread(values) * epsilon  # Eq. 11
            for values, epsilon in zip(branches, self._of_layer[layer].to(branches[0]))
        )
        largest = a.detach().abs().max()
        self.largest_a = largest if self.largest_a is None else torch.maximum(self.largest_a, largest)
        return a, b

    def branches(self, layer: BranchedNorm) -> tuple[Tensor, Tensor]:
        """The branches' a and b, each (K, C), to sample from. Subclasses can override this."""
        return layer.affine()

    def _draw(self, layer: BranchedNorm) -> Tensor:
        weight = layer.branches[0].weight
        device = self.generator.device if self.generator else weight.device
        return torch.randn(2, len(weight), generator=self.generator, device=device).to(weight.device)

    def _spread(self, values: Tensor) -> Tensor:
        deviation = values - values.mean(0)
        if self.noise == "variance":
            return deviation.square().mean(0)
        # sqrt(variance) would have an infinite gradient where all branches are equal
        norms: Tensor = torch.linalg.vector_norm(deviation, dim=0)
        return norms / float(len(values) ** 0.5)


class PathOfEach(Path):
    """Each image follows one of several paths.

    Args:
        paths: P paths, each one affine map for all images.
        choice: LongTensor (B,), the index of each image's path.

    Raises:
        ValueError: ``choice`` has another shape or type, or an index outside 0 to P - 1.
        TypeError: a path is not one affine map for all images.

    Example:
        >>> model = convert_gdnorm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), num_domains=3)
        >>> path = PathOfEach([SourcePath(0), MeanPath()], choice=torch.tensor([0, 1, 1, 0]))
        >>> with follow(model, path):
        ...     out = model(torch.randn(4, 3, 16, 8))
    """

    def __init__(self, paths: Sequence[AffinePath], choice: Tensor) -> None:
        check_numbers("choice", choice)
        for path in paths:
            if not isinstance(path, AffinePath):
                raise TypeError(f"a {type(path).__name__} is not one affine map for all images and cannot be chosen")
        if len(choice) and not 0 <= int(choice.min()) <= int(choice.max()) < len(paths):
            raise ValueError(f"choice has numbers {torch.unique(choice).tolist()}, but there are {len(paths)} paths")
        self.paths = paths
        self.choice = choice

    def start(self, layers: Mapping[str, BranchedNorm]) -> None:
        for path in self.paths:
            path.start(layers)

    def normalize(self, layer: BranchedNorm, x: Tensor) -> Tensor:
        a, b = (torch.stack(values)[self.choice] for values in zip(*(path.affine(layer) for path in self.paths)))
        return normalize_each(x, a, b)


def normalize_each(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """a*x + b with x (B, C, H, W) of any float type, which the result keeps, and each image's own a and b, (B, C).

    Raises:
        ValueError: ``x`` has another number of images than ``a`` and ``b``.
    """
    check_images(x, len(a))
    return (x * a[:, :, None, None] + b[:, :, None, None]).to(x.dtype)


def check_numbers(what: str, numbers: Tensor) -> None:
    """Raise ValueError unless ``numbers`` is a LongTensor (B,)."""
    if numbers.dim() != 1 or numbers.dtype is not torch.long:
        raise ValueError(f"{what} must be a LongTensor (B,); got {numbers.dtype} of shape {tuple(numbers.shape)}")


def check_images(x: Tensor, images: int) -> None:
    """Raise ValueError unless x (B, C, H, W) has this many images."""
    if len(x) != images:
        raise ValueError(f"the path is for {images} images, but the batch has {len(x)}")
