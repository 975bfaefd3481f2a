"""Nearest features to queries: among all of them, or among candidates that compressed features find."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .comparable import scores_between
from .feature_parts import FeatureParts

if TYPE_CHECKING:
    from .compressed_features import CompressedFeatures

CANDIDATES = 100  # smallest number of candidates whose exact scores an approximate search compares
MORE = 4  # factor by which the number of candidates grows while too few of them are allowed
QUERIES = 256  # number of queries compared with a block of features at once

Nearest = list[tuple[int, float]]  # rows and scores, best first; a higher score is nearer


def exact(
    features: FeatureParts, queries: NDArray[np.float32], top: int, allowed: NDArray[np.bool_], metric: str
) -> list[Nearest]:
    """Find the ``top`` nearest allowed features of each query; fewer if fewer are allowed.

    Args:
        queries: (Q, D).
        allowed: (N,), which of the features can be found.
        metric: "cosine", for features of length 1, or "euclidean".
    """
    top = min(top, int(allowed.sum()))
    found: list[Nearest] = []
    for first in range(0, len(queries), QUERIES) if top else ():
        some = queries[first : first + QUERIES]
        scores: NDArray[np.float32] = np.empty((len(some), 0), np.float32)
        rows: NDArray[np.intp] = np.empty((len(some), 0), np.intp)
        start = 0
        for block in features.blocks():
            here = start + np.flatnonzero(allowed[start : start + len(block)])
            new = scores_between(some, block, metric)
            if len(here) < len(block):
                new = new[:, here - start]
            scores = np.concatenate((scores, new), axis=1)
            rows = np.concatenate((rows, np.broadcast_to(here, new.shape)), axis=1)
            start += len(block)
            if scores.shape[1] > top:
                best = np.argpartition(-scores, top - 1, axis=1)[:, :top]
                scores, rows = np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)
        found += map(_in_order, rows, scores)
    return found or [[] for _ in queries]


def approximate(
    features: FeatureParts,
    compressed: CompressedFeatures,
    queries: NDArray[np.float32],
    top: int,
    allowed: NDArray[np.bool_],
    metric: str,
) -> list[Nearest]:
    """Like :func:`exact`, but compare only candidates, so that a few of the nearest features can be missed.

    The candidates are the nearest allowed features by compressed features: CANDIDATES, or twice ``top`` if that is
    more. Where that would take nearly all features, the search is exact.
    """
    share = allowed.mean()
    wanted = min(max(CANDIDATES, 2 * top), int(allowed.sum()))
    found: dict[int, Nearest] = {}
    missing = np.arange(len(queries))
    count = int(np.ceil(wanted / max(share, 1e-9)))
    while len(missing) and MORE * count < len(features):
        for query, rows in zip(missing.tolist(), compressed.nearest(queries[missing], count)):
            candidates = rows[rows >= 0]
            candidates = candidates[allowed[candidates]][:wanted]
            if len(candidates) == wanted:
                (scores,) = scores_between(queries[query : query + 1], features.take(candidates), metric)
                found[query] = _in_order(candidates, scores)[:top]
        missing = np.array([query for query in missing.tolist() if query not in found], np.intp)
        count *= MORE
    found.update(zip(missing.tolist(), exact(features, queries[missing], top, allowed, metric)))
    return [found[query] for query in range(len(queries))]


def _in_order(rows: NDArray[np.intp], scores: NDArray[np.float32]) -> Nearest:
    order = np.lexsort((rows, -scores))
    return list(zip(rows[order].tolist(), scores[order].tolist()))
