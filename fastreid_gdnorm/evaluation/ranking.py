"""CMC, AP and INP from one block of queries at a time, without sorting the gallery by distance.

The metrics depend only on the ranks of the true matches. A match's rank is the number of images that are at least as
near.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..errors import UserError
from .distances import Distances, blocks

# A query with fewer matches is faster to rank by counting the nearer images than by sorting all distances.
MATCHES_TO_SORT = 40

Indices = NDArray[np.intp]
Own = dict[int, tuple[Indices, Indices]]


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
        rows = distances.rows(queries) if isinstance(distances, Distances) else distances[queries]
        own = {}
        for query in range(queries.start, queries.stop):
            same = by_identity[starts[query] : ends[query]]
            is_junk = g_camids[same] == q_camids[query]
            if not is_junk.all():
                own[query - queries.start] = same[~is_junk], same[is_junk]
        for ranks in _ranks_by_query(rows, own) if _is_on_cpu(rows) else _ranks_at_once(rows, own):
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


def _is_on_cpu(rows: Tensor | NDArray[Any]) -> bool:
    return not isinstance(rows, Tensor) or rows.device.type == "cpu"


def _ranks_by_query(rows: Tensor | NDArray[Any], own: Own) -> list[NDArray[Any]]:
    """Each query's sorted ranks, from 1, of its matches in the gallery without its junk.

    Args:
        rows: distances of shape (queries, gallery).
        own: {row: indices of its matches, at least one, and of its junk}; other rows are left out.
    """
    return [_ranks(np.asarray(rows[row]), *indices) for row, indices in own.items()]


def _ranks_at_once(rows: Any, own: Own) -> list[NDArray[Any]]:
    """As :func:`_ranks_by_query`, with few operations on the device of the tensor ``rows``.

    All rows are compared at once: with each query's nearest match, with the second, and so on.
    """
    if not own:
        return []
    rows = rows[list(own)]
    matches, is_match = _gather(rows, [matches for matches, _ in own.values()])
    matches = matches.masked_fill(~is_match, torch.inf).sort(dim=1).values
    same, is_same = _gather(rows, [np.concatenate(both) for both in own.values()])
    same = same.masked_fill(~is_same, torch.nan)  # neither nearer nor as near
    nearer, as_near = (  # strangers
        torch.stack([is_below(rows, match).sum(1) - is_below(same, match).sum(1) for match in matches.T[..., None]], 1)
        for is_below in (torch.lt, torch.le)
    )
    is_tied = ((nearer != as_near) & is_match | matches.isnan()).any(dim=1).tolist()
    ranks = (nearer + torch.arange(1, 1 + nearer.shape[1], device=rows.device)).cpu().numpy()
    return [
        _ranks(row.cpu().numpy(), *indices) if tied else of_row[: len(indices[0])]
        for row, indices, tied, of_row in zip(rows, own.values(), is_tied, ranks)
    ]


def _gather(rows: Tensor, indices: Sequence[Indices]) -> tuple[Tensor, Tensor]:
    """Each row's values at its own indices, filled up to the longest row, and which of them count."""
    filled = pad_sequence([torch.from_numpy(of_row) for of_row in indices], batch_first=True, padding_value=-1)
    filled = filled.to(rows.device)
    return rows.gather(1, filled.clamp(min=0)), filled >= 0


def _ranks(row: NDArray[Any], matches: Indices, junk: Indices) -> NDArray[Any]:
    """One query's ranks; ``row`` has its distances."""
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
