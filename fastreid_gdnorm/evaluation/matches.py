"""Queries that a test cannot rank: those with no true match in the gallery."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from fastreid.utils import comm

from ..errors import UserError

logger = logging.getLogger("fastreid.gdnorm.test")

Item = tuple[Any, ...]  # path, identity, camera, and whatever a project adds


def splits_of(data: Any) -> list[tuple[list[Item], list[Item]]]:
    """The queries and the gallery of each split of a data set; of one without splits, one pair."""
    if not hasattr(data, "splits"):
        return [(data.query, data.gallery)]
    items = data.images
    return [([items[i] for i in split.query], [items[i] for i in split.gallery]) for split in data.splits]


def num_matched(queries: Sequence[Item], gallery: Iterable[Item]) -> int:
    """How many queries have a true match: a gallery image of their identity by another camera."""
    cameras: dict[Any, set[Any]] = defaultdict(set)
    for _, identity, camera, *_ in gallery:
        cameras[identity].add(camera)
    return sum(bool(cameras[identity] - {camera}) for _, identity, camera, *_ in queries)


def check_matches(target: str, splits: Iterable[tuple[Sequence[Item], Sequence[Item]]]) -> None:
    """Say in one line how many queries a test of ``target`` will leave out, as they have no true match.

    Args:
        splits: as :func:`splits_of` gives them.

    Raises:
        UserError: there are no queries, or a split has none with a true match.
    """
    left_out = total = 0
    for queries, gallery in splits:
        matched = num_matched(queries, gallery)
        if not matched:
            raise UserError(
                f"DATASETS.TESTS: none of the {len(queries)} queries of {target} has its identity under another camera "
                f"among its {len(gallery)} gallery images, so nothing can be ranked: a test takes two cameras or more"
            )
        left_out, total = left_out + len(queries) - matched, total + len(queries)
    if left_out and comm.is_main_process():
        logger.warning(
            "%s: %d of %d queries are left out of the results, as no gallery image shows their identity under another "
            "camera",
            *(target, left_out, total),
        )
