"""Find copies: files with the same contents under different names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..disk import digest, first_copies, size_of
from .records import Record


class Distinct(NamedTuple):
    """Images split into originals and copies.

    Args:
        records: the first image of each content, in the given order.
        copies: every other image, paired with its original.
    """

    records: list[Record]
    copies: list[tuple[Record, Record]]


def distinct(records: Sequence[Record]) -> Distinct:
    """Separate copies from originals. Fields that only a copy has are filled in for its original.

    Only files whose size is shared are read. An unreadable file counts as an original.
    """
    kept: list[Record] = []
    copies = []
    index_of: dict[int, int] = {}
    for record, first in zip(records, first_copies([record.path for record in records])):
        index = index_of.setdefault(first, len(kept))
        if index == len(kept):
            kept.append(record)
        else:
            copies.append((record, kept[index]))
            kept[index] = Record(*(value or other for value, other in zip(kept[index], record)))
    return Distinct(kept, copies)


def find_copy(records: Sequence[Record], others: Iterable[str]) -> tuple[Record, str] | None:
    """The first image found with the contents of one of the other files, and that file; None if there is none."""
    by_size: dict[int, list[Record]] = {}
    for record in records:
        by_size.setdefault(size_of(record.path), []).append(record)
    known: dict[str, str] = {}
    for other in others:
        size = size_of(other)
        if size < 0 or size not in by_size:
            continue
        sha256 = digest(other)
        for record in by_size[size]:
            if record.path not in known:
                known[record.path] = digest(record.path)
            if known[record.path] == sha256:
                return record, other
    return None
