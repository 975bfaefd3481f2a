"""Pictures of queries and their first matches, from the worst query to the best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from fastreid.config import CfgNode
from fastreid.data import build_reid_test_loader
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data import number_test_set
from ..disk import save_figure
from ..errors import not_finite
from ..evaluation import build_dist, evaluate_rank
from ..image_loading import read_picture
from ..inference.comparable import unusable_rows
from ..runs.run_checkpoints import find_weights


class RankedQuery(NamedTuple):
    """A query and its matches; images are numbered in the order of the test set, queries first."""

    query: int
    precision: float  # its AP, 0 to 1
    matches: NDArray[Any]  # gallery images, the nearest first; those of the query's own identity and camera come last
    is_right: NDArray[Any]  # whether each match shows the query's identity


def ranked_results(
    model: nn.Module,
    cfg: CfgNode,
    dataset_name: str,
    output: str | Path,
    num_queries: int = 6,
    num_matches: int = 8,
) -> None:
    """Save a picture of queries and their first matches, from the worst query to the best.

    Args:
        model: returns features (B, D); it is put into eval mode.
        dataset_name: a test set that is registered with fast-reid.
        output: the image file to write.
        num_queries, num_matches: rows and columns. Queries are sorted by their AP and evenly spaced.

    Raises:
        UserError: features are NaN or infinite, or no query has a match.
    """
    loader, num_query = build_reid_test_loader(cfg, dataset_name=dataset_name)
    number_test_set(loader.dataset, num_query)
    features, pids, cameras = _features(model, loader)
    paths = [item[0] for item in loader.dataset.img_items]
    unusable = unusable_rows(features.numpy(), cfg.TEST.METRIC)
    if len(unusable):
        raise not_finite(paths[unusable[0]], find_weights(cfg))
    ranked = rank_queries(features, pids, cameras, num_query, num_queries, cfg.TEST.METRIC)
    figure = ranked_figure(ranked, paths, num_matches)
    figure.suptitle(f"{dataset_name}: queries from worst to best, with their first matches in other cameras")
    save_figure(output, figure, dpi=110)


def rank_queries(
    features: Tensor,
    pids: NDArray[Any],
    cameras: NDArray[Any],
    num_query: int,
    count: int,
    metric: str = "euclidean",
) -> list[RankedQuery]:
    """``count`` queries, evenly spaced from the lowest AP to the highest; queries without a true match do not count.

    Args:
        features: (images, dimensions), queries before gallery images; so are ``pids`` and ``cameras``.
        metric: as for ``build_dist``.

    Raises:
        UserError: no query has a match.
    """
    distances = build_dist(features[:num_query], features[num_query:], metric)
    q_pids, g_pids, q_cameras, g_cameras = *np.split(pids, [num_query]), *np.split(cameras, [num_query])
    _, precisions, _ = evaluate_rank(distances, q_pids, g_pids, q_cameras, g_cameras)
    has_match = [((g_pids == pid) & (g_cameras != camera)).any() for pid, camera in zip(q_pids, q_cameras)]
    queries = np.flatnonzero(has_match)  # the rows of precisions
    from_worst = np.argsort(precisions, kind="stable")
    ranked = []
    for index in from_worst[np.linspace(0, len(queries) - 1, count).round().astype(int)]:
        query = queries[index]
        is_right = g_pids == q_pids[query]
        junk = is_right & (g_cameras == q_cameras[query])
        (row,) = distances[query : query + 1]
        order = np.argsort(np.where(junk, np.inf, row), kind="stable")
        ranked.append(RankedQuery(query, precisions[index], num_query + order, is_right[order]))
    return ranked


def ranked_figure(ranked: Sequence[RankedQuery], paths: Sequence[str], num_matches: int) -> Figure:
    """A row per query: the query with its AP, then its first matches, right ones in green and wrong ones in red.

    Args:
        paths: the image files, by number.
    """
    figure = Figure(figsize=(1.1 * (num_matches + 1), 2.3 * len(ranked)), layout="constrained")
    axes = figure.subplots(len(ranked), num_matches + 1, squeeze=False)
    for row, (query, precision, matches, is_right) in zip(axes, ranked):
        _show(row[0], paths[query], f"query\nAP {100 * precision:.0f}", "black")
        for axis, match, right in zip(row[1:], matches, is_right):
            _show(axis, paths[match], "right" if right else "wrong", "tab:green" if right else "tab:red")
    return figure


@torch.no_grad()
def _features(model: nn.Module, loader: Iterable[Mapping[str, Tensor]]) -> tuple[Tensor, NDArray[Any], NDArray[Any]]:
    """Features, identities and cameras of all images."""
    model.eval()
    batches = [(model(batch), batch["targets"], batch["camids"]) for batch in loader]
    features, pids, cameras = (torch.cat(column).cpu() for column in zip(*batches))
    return features, pids.numpy(), cameras.numpy()


def _show(axis: Any, path: str, title: str, colour: str) -> None:
    axis.imshow(read_picture(path).resize((64, 128)))
    axis.set_title(title, fontsize=8, color=colour)
    axis.set(xticks=[], yticks=[])
    for side in axis.spines.values():
        side.set(color=colour, linewidth=3)
