"""Features that can be compared: finite, and of length 1 where cosine compares them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .description import Description


def lengths_of(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,), the lengths of features (N, D), without a second array of their size."""
    lengths: NDArray[np.float32] = np.sqrt(np.einsum("nd,nd->n", features, features))
    return lengths


def unusable_rows(features: NDArray[np.float32], metric: str) -> NDArray[np.intp]:
    """The places of features (N, D) that are NaN, infinite, or, for cosine, all zero."""
    lengths = lengths_of(features)
    return np.flatnonzero(~np.isfinite(lengths) | ((lengths <= 1e-12) & (metric == "cosine")))


def as_comparable(features: Any, description: Description, name: str, count: str) -> NDArray[np.float32]:
    """Features as the model of ``description`` gives them: float32 (N, D), scaled to length 1 if cosine compares them.

    Args:
        name, count: what they and N are called in errors.

    Raises:
        UserError: they are no numbers, of another shape, or cannot be compared.
    """
    given = np.asarray(features)
    if given.dtype.kind not in "fiu" or given.ndim != 2 or given.shape[1] != description.features:
        of_type = "" if given.dtype.kind in "fiu" else f"{given.dtype} "
        raise UserError(f"{name} are of shape ({count}, {description.features}), got {of_type}{given.shape}")
    comparable: NDArray[np.float32] = np.ascontiguousarray(given, np.float32)
    unusable = unusable_rows(comparable, description.metric)
    if len(unusable):
        raise UserError(
            f"{name} cannot be compared: {len(unusable)} of {len(comparable)} are NaN, infinite or all zero, the first "
            f"at place {unusable[0]}"
        )
    if description.metric == "cosine":
        lengths = lengths_of(comparable)
        if (abs(lengths - 1) > 1e-3).any():  # else it is rounding
            comparable = comparable / lengths[:, None]
    return comparable
