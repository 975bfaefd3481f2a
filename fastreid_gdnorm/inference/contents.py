"""Images by their contents: a copy under another name is the same image."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..disk import digest
from .records import Record


class Distinct(NamedTuple):
    """Images with different contents.

    Args:
        records: the first of each contents, in their order.
        copies: every other one, with the image that it is a copy of.
    """

    records: list[Record]
    copies: list[tuple[Record, Record]]


def distinct(records: Sequence[Record]) -> Distinct:
    """Leave copies out; what is known of a copy alone is then known of the image that it is a copy of.

    Only files of one size are read. One that cannot be read is a copy of none.
    """
    sizes = [_size(record.path) for record in records]
    often = Counter(sizes)
    place_of: dict[str, int] = {}
    kept: list[Record] = []
    copies = []
    for record, size in zip(records, sizes):
        place = len(kept)
        if size >= 0 and often[size] > 1:
            place = place_of.setdefault(digest(record.path), place)
        if place == len(kept):
            kept.append(record)
        else:
            copies.append((record, kept[place]))
            kept[place] = Record(*(own or other for own, other in zip(kept[place], record)))
    return Distinct(kept, copies)


def find_copy(records: Sequence[Record], others: Iterable[str]) -> tuple[Record, str] | None:
    """An image with the contents of one of the other files, and that file; None if there is none."""
    by_size: dict[int, list[Record]] = {}
    for record in records:
        by_size.setdefault(_size(record.path), []).append(record)
    known: dict[str, str] = {}
    for other in others:
        size = _size(other)
        if size < 0 or size not in by_size:
            continue
        sha256 = digest(other)
        for record in by_size[size]:
            if record.path not in known:
                known[record.path] = digest(record.path)
            if known[record.path] == sha256:
                return record, other
    return None


def _size(path: str) -> int:
    """Of a file in bytes; -1 of one that cannot be read."""
    try:
        return os.stat(path).st_size if os.access(path, os.R_OK) else -1
    except OSError:
        return -1
