"""Nearest features to queries: among all of them, or among candidates that compressed features find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .comparable import scores_between
from .feature_parts import FeatureParts

if TYPE_CHECKING:
    from .compressed_features import CompressedFeatures

CANDIDATES = 100  # smallest number of candidates whose exact scores an approximate search compares
MORE = 4  # factor by which the number of candidates grows while too few of them are allowed
QUERIES = 256  # number of queries that are searched together

Nearest = list[tuple[int, float]]  # rows and scores, best first; a higher score is nearer
Mask = NDArray[np.bool_]


def nearest(
    features: FeatureParts,
    compressed: CompressedFeatures | None,
    queries: NDArray[np.float32],
    top: int,
    allowed: Sequence[Mask],
    metric: str,
) -> list[Nearest]:
    """Find the ``top`` nearest allowed features of each query; fewer if fewer are allowed.

    Args:
        features: N features.
        compressed: the same features, for an approximate search, which can miss a few of the nearest; None for an
            exact one.
        queries: (Q, D).
        allowed: for each query, which of the features (N,) can be found. Queries can share an array.
        metric: "cosine", for features of length 1, or "euclidean".
    """
    found: list[Nearest] = []
    for start in range(0, len(queries), QUERIES):
        some = slice(start, start + QUERIES)
        if compressed is None:
            found += _exact(features, queries[some], top, allowed[some], metric)
        else:
            found += _approximate(features, compressed, queries[some], top, allowed[some], metric)
    return found


def _exact(
    features: FeatureParts, queries: NDArray[np.float32], top: int, allowed: Sequence[Mask], metric: str
) -> list[Nearest]:
    scores: NDArray[np.float32] = np.empty((len(queries), 0), np.float32)
    rows: NDArray[np.intp] = np.empty((len(queries), 0), np.intp)
    sharing: dict[int, list[int]] = {}
    for query, mask in enumerate(allowed):
        sharing.setdefault(id(mask), []).append(query)
    start = 0
    for block in features.blocks():
        here = np.arange(start, start + len(block))
        new = scores_between(queries, block, metric)
        for some in map(np.array, sharing.values()):
            new[np.ix_(some, ~allowed[some[0]][here])] = -np.inf
        scores = np.concatenate((scores, new), axis=1)
        rows = np.concatenate((rows, np.broadcast_to(here, new.shape)), axis=1)
        if scores.shape[1] > top:
            best = np.argpartition(-scores, top - 1, axis=1)[:, :top]
            scores, rows = np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)
        start += len(block)
    return [_in_order(*pair) for pair in zip(rows, scores)]


def _approximate(
    features: FeatureParts,
    compressed: CompressedFeatures,
    queries: NDArray[np.float32],
    top: int,
    allowed: Sequence[Mask],
    metric: str,
) -> list[Nearest]:
    """Compare only candidates: the nearest allowed features by compressed features, at least four times ``top``.

    Queries for which these would be among nearly all features are searched exactly.
    """
    found: dict[int, Nearest] = {}
    permitted = {id(mask): int(mask.sum()) for mask in allowed}
    wanted = [min(max(CANDIDATES, 4 * top), permitted[id(mask)]) for mask in allowed]
    left = [query for query in range(len(queries)) if wanted[query]]
    shares = [permitted[id(allowed[query])] / len(features) for query in left]
    count = int(max((wanted[query] / share for query, share in zip(left, shares)), default=0)) + 1
    while left and MORE * count < len(features):
        for query, rows in zip(left, compressed.nearest(queries[left], count)):
            candidates = rows[rows >= 0]
            candidates = candidates[allowed[query][candidates]][: wanted[query]]
            if len(candidates) == wanted[query]:
                (scores,) = scores_between(queries[query : query + 1], features.take(candidates), metric)
                found[query] = _in_order(candidates, scores)[:top]
        left = [query for query in left if query not in found]
        count *= MORE
    if left:
        found.update(zip(left, _exact(features, queries[left], top, [allowed[query] for query in left], metric)))
    return [found.get(query, []) for query in range(len(queries))]


def _in_order(rows: NDArray[np.intp], scores: NDArray[np.float32]) -> Nearest:
    order = [index for index in np.lexsort((rows, -scores)).tolist() if scores[index] > -np.inf]
    return list(zip(rows[order].tolist(), scores[order].tolist()))
