"""Distances between queries and a gallery, computed for one block of queries at a time instead of all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from fastreid.utils import compute_dist
from numpy.typing import NDArray
from torch import Tensor

from .reranking import jaccard

Rows = Callable[[slice], Tensor]  # a slice of queries -> distances of shape (queries in it, gallery)

BLOCK_BYTES = 64 * 2**20


class Distances:
    """A matrix of shape (queries, gallery) whose rows are computed only when read: ``distances[i:j]``.

    It supports multiplication by a number and addition, the only operations of ``ReidEvaluator.evaluate``. Their
    results are computed when read too.

    Args:
        rows: function from a slice of queries to its rows, a float32 tensor on any device.

    Attributes:
        rows: the same function. ``distances[i:j]`` is its result as an array.
    """

    def __init__(self, shape: tuple[int, int], rows: Rows) -> None:
        self.shape, self.rows = shape, rows

    def __getitem__(self, queries: slice) -> NDArray[np.float32]:
        array: NDArray[np.float32] = self.rows(queries).cpu().numpy()
        return array

    def __mul__(self, factor: float) -> Distances:
        return Distances(self.shape, lambda queries: self.rows(queries) * factor)

    def __add__(self, other: Distances) -> Distances:
        """The sum, on the device of ``other``."""

        def rows(queries: slice) -> Tensor:
            theirs = other.rows(queries)
            return self.rows(queries).to(theirs.device) + theirs

        return Distances(self.shape, rows)


def build_dist(queries: Tensor, gallery: Tensor, metric: str = "euclidean", **options: Any) -> Distances:
    """As ``fastreid.utils.compute_dist.build_dist``, with its formulas, but computed when read.

    If all distances fit into one block, they equal stock's to the last digit, so that ties are ordered alike.

    Args:
        queries, gallery: features of shape (images, dimensions), on the device that computes their distances.
        metric: "euclidean" (squared, as in stock), "cosine", or "jaccard" with the options ``k1`` and ``k2``.
    """
    shape = len(queries), len(gallery)
    if metric != "jaccard" and is_one_block(*shape):
        whole = torch.from_numpy(compute_dist.build_dist(queries, gallery, metric))
        return Distances(shape, lambda some: whole[some])
    rows = {"euclidean": _euclidean, "cosine": _cosine, "jaccard": jaccard}[metric]
    return Distances(shape, rows(queries.detach(), gallery.detach(), **options))


def is_one_block(num_query: int, num_gallery: int) -> bool:
    """Whether all distances together take at most BLOCK_BYTES."""
    return 4 * num_query * num_gallery <= BLOCK_BYTES


def blocks(distances: Distances | NDArray[Any]) -> Iterator[slice]:
    """Consecutive slices of queries whose rows take at most BLOCK_BYTES; a slice has at least one query."""
    num_query, num_gallery = distances.shape
    size = max(1, BLOCK_BYTES // (4 * max(1, num_gallery)))
    return (slice(start, min(start + size, num_query)) for start in range(0, num_query, size))


def _euclidean(queries: Tensor, gallery: Tensor) -> Rows:
    query_norms, gallery_norms = (features.pow(2).sum(dim=1) for features in (queries, gallery))
    products = _products(queries, gallery)
    return lambda some: products(some).mul_(-2).add_(query_norms[some, None] + gallery_norms)


def _cosine(queries: Tensor, gallery: Tensor) -> Rows:
    # divide the products by the gallery's norms: a normalised copy of the gallery would take more memory
    norms = gallery.norm(dim=1).clamp_min(1e-12)  # as F.normalize does
    products = _products(F.normalize(queries), gallery)
    return lambda some: products(some).div_(norms).neg_().add_(1)


def _products(queries: Tensor, gallery: Tensor) -> Rows:
    """Dot products; NumPy computes them on the CPU: on non-Intel CPUs, its OpenBLAS is twice as fast as torch's MKL."""
    if queries.device.type == "cpu" and queries.dtype in (torch.float32, torch.float64):
        ours, theirs = queries.numpy(), gallery.numpy().T
        return lambda some: torch.from_numpy(ours[some] @ theirs)
    return lambda some: queries[some] @ gallery.t()
