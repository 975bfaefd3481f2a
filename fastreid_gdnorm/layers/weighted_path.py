"""Convex combinations of the branches, and weights by how close an image is to each branch."""

from __future__ import annotations

import torch
from torch import Tensor

from .branched_norm import BranchedNorm
from .image_statistics import moments_per_image
from .paths import AffinePath, MeanPath, normalize_each


class WeightedPath(AffinePath):
    """A convex combination of the branches: a = sum_k pi_k a_k, and b likewise (pi as in Eq. 3).

    Args:
        weights: pi. (K,) for all images, a path that can be folded; or (B, K), a row for each image.

    Raises:
        ValueError: a weight is negative, or the weights do not add up to 1.

    Example:
        >>> model = convert_gdnorm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), num_domains=3)
        >>> stock = fold_gdnorm(model, WeightedPath(torch.tensor([0.2, 0.3, 0.5])))
    """

    def __init__(self, weights: Tensor) -> None:
        total = weights.sum(-1)
        if weights.dim() not in (1, 2) or (weights < 0).any() or not torch.allclose(total, torch.ones_like(total)):
            raise ValueError(f"weights must be (K,) or (B, K), 0 or more, with the sum 1; got {weights.tolist()}")
        self.weights = weights

    def affine(self, layer: BranchedNorm) -> tuple[Tensor, Tensor]:
        """(a, b), each (C,).

        Raises:
            TypeError: each image has its own weights.
            ValueError: there are not as many weights as branches.
        """
        if self.weights.dim() == 2:
            raise TypeError("a path with weights for each image is not one affine map for all and cannot be folded")
        return self._combine(layer)

    def normalize(self, layer: BranchedNorm, x: Tensor) -> Tensor:
        return super().normalize(layer, x) if self.weights.dim() == 1 else normalize_each(x, *self._combine(layer))

    def _combine(self, layer: BranchedNorm) -> tuple[Tensor, Tensor]:
        if self.weights.shape[-1] != layer.num_domains:
            raise ValueError(f"{self.weights.shape[-1]} weights for {layer.num_domains} branches")
        a, b = layer.affine()
        weights = self.weights.to(a)
        return weights @ a, weights @ b


class NearnessPath(MeanPath):
    """The mean path, which also measures how close each image's statistics are to those of every branch.

    The distance to a branch is the 2-Wasserstein distance of two normal distributions, from their means and standard
    deviations, in units of the channel's variance, averaged over channels and layers. Weights are inverse distances, as
    in Batch Normalization Embeddings (Segu et al. 2023), so there is no temperature to choose.

    Example:
        >>> model = convert_gdnorm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), num_domains=3)
        >>> path = NearnessPath()
        >>> with follow(model, path):
        ...     out = model(torch.randn(4, 3, 16, 8))
        >>> path.weights().shape
        torch.Size([4, 3])
    """

    def __init__(self, of: str = "affine") -> None:
        super().__init__(of)
        self._squares: list[Tensor] = []  # squared distances in each layer, (B, K)

    def normalize(self, layer: BranchedNorm, x: Tensor) -> Tensor:
        _, _, means, variances = (values.double() for values in layer.stacked())
        mean, var = (values.unsqueeze(1) for values in moments_per_image(x))
        square = (mean - means).square() + (var.sqrt() - variances.sqrt()).square()
        self._squares.append((square / (variances.mean(0) + layer.branches[0].eps)).mean(2))
        return super().normalize(layer, x)

    def weights(self) -> Tensor:
        """The weights of the branches for each image, (B, K), after one pass. For a set of images, average them."""
        nearness = 1 / torch.stack(self._squares).mean(0).sqrt().clamp(min=1e-12)
        return nearness / nearness.sum(1, keepdim=True)
