"""The features nearest to a query in an index of faiss: by a graph where it finds them, else among all."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

EF_SEARCH = 256  # images kept in sight when a graph is searched, at least
WORTHWHILE = 32  # times the images that a search asks for: in a larger index, the graph is faster than all of them

Nearest = list[tuple[int, float]]  # rows and scores, best first; a score is higher the nearer it is


def is_graph(index: Any) -> bool:
    """Whether a search looks at some of the features alone."""
    return isinstance(faiss.downcast_index(index), faiss.IndexHNSW)


def flat_part(index: Any) -> Any:
    """The features that a graph links, as an index that compares a query with all of them; others as they are.

    It is a view, which holds as long as ``index`` does.
    """
    downcast = faiss.downcast_index(index)
    return faiss.downcast_index(downcast.storage) if is_graph(index) else downcast


def nearest(
    index: Any, queries: NDArray[np.float32], top: int, allowed: NDArray[np.bool_], exact: bool = False
) -> list[Nearest]:
    """The ``top`` nearest features of each query, or all that are allowed if they are fewer.

    Args:
        queries: (Q, D).
        allowed: (N,), which features may be found.
        exact: compare with all, also where there is a graph.
    """
    restricted = not allowed.all()
    top = min(top, int(allowed.sum()))
    if not top or not len(queries):
        return [[] for _ in queries]
    # a graph that is asked for few features alone stops too early: it is asked for the nearest of all, many enough
    asked = max(top, EF_SEARCH // 2) if restricted else top
    if exact or not is_graph(index) or asked * WORTHWHILE > index.ntotal:
        selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little")) if restricted else None
        parameters = faiss.SearchParameters(sel=selector) if restricted else None
        return _found(flat_part(index), queries, top, parameters)
    found = [
        [(row, score) for row, score in pairs if allowed[row]][:top]
        for pairs in _found(index, queries, asked, faiss.SearchParametersHNSW(efSearch=max(EF_SEARCH, 2 * asked)))
    ]
    short = [place for place, pairs in enumerate(found) if len(pairs) < top]
    for place, pairs in zip(short, nearest(index, queries[short], top, allowed, exact=True)):
        found[place] = pairs
    return found


def _found(index: Any, queries: NDArray[np.float32], top: int, parameters: Any) -> list[Nearest]:
    scores, rows = index.search(queries, top, params=parameters)
    scores = scores if index.metric_type == faiss.METRIC_INNER_PRODUCT else -scores
    # faiss fills up with -1 what a graph did not find
    return [[pair for pair in zip(*both) if pair[0] >= 0] for both in zip(rows.tolist(), scores.tolist())]
