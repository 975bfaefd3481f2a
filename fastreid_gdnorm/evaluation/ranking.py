"""CMC, AP and INP from one block of queries at a time, without sorting the gallery by distance.

The metrics depend only on the ranks of the true matches. A match's rank is the number of images that are at least as
near.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .distances import Distances, blocks

# A query with fewer matches is faster to rank by counting the nearer images than by sorting all distances.
MATCHES_TO_SORT = 40


def evaluate_rank(
    distances: Distances | NDArray[Any],
    q_pids: NDArray[Any],
    g_pids: NDArray[Any],
    q_camids: NDArray[Any],
    g_camids: NDArray[Any],
    max_rank: int = 50,
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """As ``fastreid.evaluation.rank.evaluate_rank``, with equal results, even for tied distances.

    Gallery images of the query's own identity and camera do not count. Queries without another match are left out.

    Args:
        distances: (queries, gallery), an array or Distances.
        q_pids, g_pids, q_camids, g_camids: identities and cameras of queries and gallery images.

    Returns:
        the CMC, shape (max_rank,) for a gallery of any size; AP and INP of each query that is not left out.

    Raises:
        UserError: all queries are left out.
    """
    by_identity = np.argsort(g_pids, kind="stable")
    starts, ends = (np.searchsorted(g_pids, q_pids, side, sorter=by_identity) for side in ("left", "right"))
    first_ranks, all_ap, all_inp = [], [], []
    for queries in blocks(distances):
        for query, row in zip(range(queries.start, queries.stop), distances[queries]):
            same = by_identity[starts[query] : ends[query]]
            is_junk = g_camids[same] == q_camids[query]
            if is_junk.all():
                continue
            ranks = _ranks(row, same[~is_junk], same[is_junk])
            first_ranks.append(ranks[0])
            all_ap.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
            all_inp.append(len(ranks) / ranks[-1])
    if not first_ranks:
        raise UserError(
            f"none of {len(q_pids)} queries has a gallery image of the same identity from another camera: use a target "
            "with at least two cameras"
        )
    cmc = np.bincount(first_ranks, minlength=max_rank + 1)[1 : max_rank + 1].cumsum() / len(first_ranks)
    return cmc.astype(np.float32), np.array(all_ap), np.array(all_inp)


def evaluate_roc(
    distances: Distances | NDArray[Any],
    q_pids: NDArray[Any],
    g_pids: NDArray[Any],
    q_camids: NDArray[Any],
    g_camids: NDArray[Any],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """As ``fastreid.evaluation.roc.evaluate_roc``: distances of all pairs that count, and whether they are strangers.

    The order of the pairs differs from stock's. All pairs are in memory at once, because the curve needs them.
    """
    scores, labels = [], []
    for queries in blocks(distances):
        strangers = g_pids != q_pids[queries, None]
        counts = strangers | (g_camids != q_camids[queries, None])
        scores.append(distances[queries][counts])
        labels.append(strangers[counts])
    return np.concatenate(scores), np.concatenate(labels)


def _ranks(row: NDArray[Any], matches: NDArray[Any], junk: NDArray[Any]) -> NDArray[Any]:
    """The sorted ranks, from 1, of ``matches`` in the gallery without ``junk``; ``row`` has a query's distances."""
    own = np.sort(row[matches])
    same = np.sort(row[np.concatenate([matches, junk])])
    nearer, as_near = _counts(row, own)
    nearer, as_near = nearer - same.searchsorted(own), as_near - same.searchsorted(own, "right")  # only strangers
    if np.array_equal(nearer, as_near):
        ranks: NDArray[Any] = nearer + np.arange(1, len(own) + 1)
        return ranks
    # A match is tied with a stranger, or is NaN: rank it by sorting the whole row, as stock does.
    kind = np.zeros(len(row), np.int8)
    kind[matches], kind[junk] = 1, -1
    kind = kind[np.argsort(row)]
    return np.flatnonzero(kind[kind >= 0]) + 1


def _counts(row: NDArray[Any], bounds: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """How many values of ``row`` are below each of the sorted ``bounds``, and how many are not above it."""
    row = row[row <= bounds[-1]]
    if len(bounds) >= MATCHES_TO_SORT:
        row = np.sort(row)
        return row.searchsorted(bounds), row.searchsorted(bounds, "right")
    below = [np.count_nonzero(row < bound) for bound in bounds]
    return np.array(below), np.array([np.count_nonzero(row <= bound) for bound in bounds])
