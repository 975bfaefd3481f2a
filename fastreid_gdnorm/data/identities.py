"""Keeps the identities and cameras of different data sets apart."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Sequence
from numbers import Integral
from typing import Any

from fastreid.data import CommDataset

from ..errors import UserError

logger = logging.getLogger("fastreid.gdnorm.identities")

Item = tuple[Any, ...]  # image path, identity, camera, and whatever a project adds

NOBODY, NAMELESS = -1, (None, "")

# {index in an item: pattern of integers that fit into 64 bits}. 007 may be another person than 7, but camera 01 is
# camera 1.
INTEGERS = {1: r"-?(0|[1-9]\d{0,17})", 2: r"\d{1,18}"}


def apart(sources: Sequence[Sequence[Item]], names: Sequence[str], prefixes: Sequence[str]) -> list[list[Item]]:
    """Rename identities and cameras of training items so that sources share none by accident.

    fast-reid's own readers turn both into text that begins with the data set's name, the prefix; such text never
    changes. All other values get their source's name in front if two sources share one of them, or if some values are
    numbers and others text. Images whose identity is None, empty or negative are left out, and a warning counts them.

    Args:
        names: the sources' names, all different.
        prefixes: for each source the prefix of its values; with an empty prefix, text never changes.
    """
    kept = [[item for item in items if not _is_nobody(item[1])] for items in sources]
    for name, before, after in zip(names, sources, kept):
        if len(after) < len(before):
            logger.warning(
                "%s: left out %d of %d training images, because their identity is None, empty or negative",
                *(name, len(before) - len(after), len(before)),
            )
    for field, called in (1, "identities"), (2, "cameras"):
        scopes: dict[Any, set[str]] = {}
        for name, prefix, items in zip(names, prefixes, kept):
            for value in {item[field] for item in items}:
                scopes.setdefault(value, set()).add(prefix if _carries(value, prefix) else name)
        shared = [value for value, owners in scopes.items() if len(owners) > 1]
        if shared:
            logger.info(
                "%d %s have the same number or name in several sources; keeping them apart", len(shared), called
            )
        if shared or len({None if value is None else isinstance(value, str) for value in scopes}) > 1:
            for name, prefix, items in zip(names, prefixes, kept):
                items[:] = [_with(item, field, name, prefix) for item in items]
    return kept


def numbered(query: Sequence[Item], gallery: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Turn the identities and cameras of test items into integers, as fast-reid's evaluator needs.

    Integers do not change, and text that is an integer is converted. Other text is numbered in alphabetical order after
    the largest integer, in the same way in both parts. None and empty text become -1, nobody.

    Raises:
        UserError: a query has no identity.
    """
    unknown = [item[0] for item in query if item[1] in NAMELESS]
    if unknown:
        raise UserError(
            f"{len(unknown)} of {len(query)} queries have no identity; the first is {unknown[0]}: give each one"
        )
    parts = [list(query), list(gallery)]
    for field, integer in INTEGERS.items():
        values = {item[field] for items in parts for item in items}.difference(NAMELESS)
        numbers = {
            value: int(value) for value in values if isinstance(value, Integral) or re.fullmatch(integer, str(value))
        }
        others = sorted(values - set(numbers), key=str)
        numbers.update(zip(others, itertools.count(max(numbers.values(), default=-1) + 1)))
        numbers.update(dict.fromkeys(NAMELESS, NOBODY))
        parts = [[(*item[:field], numbers[item[field]], *item[field + 1 :]) for item in items] for items in parts]
    return parts[0], parts[1]


def number_test_set(test_set: CommDataset, num_query: int) -> None:
    """Number the identities and cameras of a test set, queries first, as :func:`numbered` does."""
    query, gallery = numbered(test_set.img_items[:num_query], test_set.img_items[num_query:])
    test_set.img_items = query + gallery


def _is_nobody(identity: Any) -> bool:
    if isinstance(identity, str):  # fast-reid's combine_all makes text of test identities
        return re.fullmatch(r"(.*_test_(None|-\d+)?)?", identity) is not None
    return identity is None or (isinstance(identity, Integral) and identity < 0)


def _carries(value: Any, prefix: str) -> bool:
    return isinstance(value, str) and value.startswith(prefix)


def _with(item: Item, field: int, name: str, prefix: str) -> Item:
    value = item[field]
    return item if _carries(value, prefix) else (*item[:field], f"{name}_{value}", *item[field + 1 :])
