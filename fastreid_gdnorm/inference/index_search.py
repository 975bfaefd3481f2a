"""Nearest features in a faiss index: by its graph if it has one, falling back to an exact search."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

EF_SEARCH = 256  # minimum number of candidates that a graph search keeps (HNSW's efSearch)
WORTHWHILE = 32  # the graph is faster than an exact search once the index has this many times the wanted results

Nearest = list[tuple[int, float]]  # rows and scores, best first; a higher score is nearer


def is_graph(index: Any) -> bool:
    """Whether an index searches a graph, which visits only some of the features."""
    return isinstance(faiss.downcast_index(index), faiss.IndexHNSW)


def flat_part(index: Any) -> Any:
    """The exact index underneath a graph; any other index itself.

    The result is a view and is valid only as long as ``index`` exists.
    """
    downcast = faiss.downcast_index(index)
    return faiss.downcast_index(downcast.storage) if is_graph(index) else downcast


def nearest(
    index: Any, queries: NDArray[np.float32], top: int, allowed: NDArray[np.bool_], exact: bool = False
) -> list[Nearest]:
    """Find the ``top`` nearest allowed features of each query; fewer if fewer are allowed.

    Args:
        queries: (Q, D).
        allowed: (N,), which of the index's features can be found.
        exact: compare with all features even if there is a graph.
    """
    restricted = not allowed.all()
    top = min(top, int(allowed.sum()))
    if not top or not len(queries):
        return [[] for _ in queries]
    # A graph search restricted to few features stops too early, so search among all and drop the rest.
    wanted = max(top, EF_SEARCH // 2) if restricted else top
    if exact or not is_graph(index) or wanted * WORTHWHILE > index.ntotal:
        selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little")) if restricted else None
        parameters = faiss.SearchParameters(sel=selector) if restricted else None
        return _found(flat_part(index), queries, top, parameters)
    found = [
        [(row, score) for row, score in pairs if allowed[row]][:top]
        for pairs in _found(index, queries, wanted, faiss.SearchParametersHNSW(efSearch=max(EF_SEARCH, 2 * wanted)))
    ]
    short = [query for query, pairs in enumerate(found) if len(pairs) < top]
    for query, pairs in zip(short, nearest(index, queries[short], top, allowed, exact=True)):
        found[query] = pairs
    return found


def _found(index: Any, queries: NDArray[np.float32], top: int, parameters: Any) -> list[Nearest]:
    scores, rows = index.search(queries, top, params=parameters)
    scores = scores if index.metric_type == faiss.METRIC_INNER_PRODUCT else -scores
    # faiss pads with -1 where the graph found too few
    return [[pair for pair in zip(*both) if pair[0] >= 0] for both in zip(rows.tolist(), scores.tolist())]
