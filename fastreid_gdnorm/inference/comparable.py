"""Make features comparable: finite, and of length 1 under the cosine metric."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .description import Description


def lengths_of(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """The lengths (N,) of features (N, D), computed without a temporary array of size (N, D)."""
    lengths: NDArray[np.float32] = np.sqrt(np.einsum("nd,nd->n", features, features))
    return lengths


def unusable_rows(features: NDArray[np.float32], metric: str) -> NDArray[np.intp]:
    """Indices of features (N, D) that are NaN or infinite or, under the cosine metric, all zero."""
    lengths = lengths_of(features)
    return np.flatnonzero(~np.isfinite(lengths) | ((lengths <= 1e-12) & (metric == "cosine")))


def scores_between(features: NDArray[np.float32], others: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Scores (N, M) of features (N, D) with others (M, D): dot products, or minus squared Euclidean distances.

    Args:
        metric: "cosine", for features of length 1, or "euclidean".
    """
    scores: NDArray[np.float32] = features @ others.T
    if metric == "euclidean":
        scores = 2 * scores - (features**2).sum(axis=1)[:, None] - (others**2).sum(axis=1)
    return scores


def as_comparable(features: Any, description: Description, name: str, count: str) -> NDArray[np.float32]:
    """Convert features to float32 (N, D), scaled to length 1 under the cosine metric.

    Args:
        description: the model that computed the features.
        name, count: what errors call the features and N.

    Raises:
        UserError: the features are not numbers, have another shape, or cannot be compared.
    """
    given = np.asarray(features)
    if given.dtype.kind not in "fiu" or given.ndim != 2 or given.shape[1] != description.features:
        dtype = "" if given.dtype.kind in "fiu" else f"{given.dtype} "
        raise UserError(f"{name} must be numbers of shape ({count}, {description.features}); got {dtype}{given.shape}")
    comparable: NDArray[np.float32] = np.ascontiguousarray(given, np.float32)
    unusable = unusable_rows(comparable, description.metric)
    if len(unusable):
        raise UserError(
            f"{name} cannot be compared: {len(unusable)} of {len(comparable)} are NaN, infinite or all zero; the first "
            f"is number {unusable[0]}, counting from 0: leave them out"
        )
    if description.metric == "cosine":
        lengths = lengths_of(comparable)
        if (abs(lengths - 1) > 1e-3).any():  # smaller differences are rounding
            comparable = comparable / lengths[:, None]
    return comparable
