"""Queries that a test cannot rank because the gallery has no true match."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from fastreid.utils import comm

from ..errors import UserError

logger = logging.getLogger("fastreid.gdnorm.test")

Item = tuple[Any, ...]  # (path, identity, camera, ...); a project can add more


def splits_of(data: Any) -> list[tuple[list[Item], list[Item]]]:
    """The (queries, gallery) of each split of a data set; one pair if it has no splits."""
    if not hasattr(data, "splits"):
        return [(data.query, data.gallery)]
    items = data.images
    return [([items[i] for i in split.query], [items[i] for i in split.gallery]) for split in data.splits]


def num_matched(queries: Sequence[Item], gallery: Iterable[Item]) -> int:
    """How many queries have a true match: a gallery image of the same identity from another camera."""
    cameras: dict[Any, set[Any]] = defaultdict(set)
    for _, identity, camera, *_ in gallery:
        cameras[identity].add(camera)
    return sum(bool(cameras[identity] - {camera}) for _, identity, camera, *_ in queries)


def check_matches(target: str, splits: Iterable[tuple[Sequence[Item], Sequence[Item]]]) -> None:
    """Log in one line how many queries of ``target`` a test will leave out because they have no true match.

    Args:
        splits: as :func:`splits_of` returns them.

    Raises:
        UserError: a split has no query with a true match.
    """
    left_out = total = 0
    for queries, gallery in splits:
        matched = num_matched(queries, gallery)
        if not matched:
            raise UserError(
                f"DATASETS.TESTS: none of the {len(queries)} queries of {target} has an image of the same identity "
                f"from another camera among the {len(gallery)} gallery images: use a target with at least two cameras"
            )
        left_out, total = left_out + len(queries) - matched, total + len(queries)
    if left_out and comm.is_main_process():
        logger.warning(
            "%s: %d of %d queries are left out of the results because no gallery image shows the same person "
            "from another camera",
            *(target, left_out, total),
        )
