"""Convex combinations of the branches, and how near images are to each."""

from __future__ import annotations

import torch
from torch import Tensor

from .branched_norm import BranchedNorm
from .image_statistics import of_each_image
from .paths import AffinePath, MeanPath, normalize_each


class WeightedPath(AffinePath):
    """Branches in a convex combination: a = sum_k pi_k a_k, and b likewise (pi as in Eq. 3).

    Args:
        weights: pi, (K,) for all images alike, which is one affine map and folds; or (B, K) with a row for each image.

    Raises:
        ValueError: weights are negative or do not add up to 1.

    Example:
        >>> model = convert_gdnorm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), num_domains=3)
        >>> stock = fold_gdnorm(model, WeightedPath(torch.tensor([0.2, 0.3, 0.5])))
    """

    def __init__(self, weights: Tensor) -> None:
        total = weights.sum(-1)
        if weights.dim() not in (1, 2) or (weights < 0).any() or not torch.allclose(total, torch.ones_like(total)):
            raise ValueError(f"weights are (K,) or (B, K), none below 0, with the sum 1; got {weights.tolist()}")
        self.weights = weights

    def affine(self, layer: BranchedNorm) -> tuple[Tensor, Tensor]:
        """(a, b), each (C,).

        Raises:
            TypeError: there are weights for each image.
            ValueError: the layer has another number of branches.
        """
        if self.weights.dim() == 2:
            raise TypeError("a path with weights for each image is not one affine map and cannot be folded")
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
    """The mean path; tells how near each image's statistics lie to those of every branch.

    The distance to a branch is that of two normal distributions by their means and standard deviations (2-Wasserstein),
    in units of the channel's own, averaged over channels and layers. Weights are its inverse, as in Batch Normalization
    Embeddings (Segu et al. 2023), so that there is no temperature to choose.

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
        self._squares: list[Tensor] = []  # of every layer, (B, K)

    def normalize(self, layer: BranchedNorm, x: Tensor) -> Tensor:
        _, _, means, variances = (values.double() for values in layer.stacked())
        mean, var = (values.unsqueeze(1) for values in of_each_image(x))
        square = (mean - means).square() + (var.sqrt() - variances.sqrt()).square()
        self._squares.append((square / (variances.mean(0) + layer.branches[0].eps)).mean(2))
        return super().normalize(layer, x)

    def weights(self) -> Tensor:
        """(B, K), after one pass; a set's are their average."""
        nearness = 1 / torch.stack(self._squares).mean(0).sqrt().clamp(min=1e-12)
        return nearness / nearness.sum(1, keepdim=True)
