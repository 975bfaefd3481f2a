"""The features of a gallery in several parts; those that are saved are memory-mapped files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .saved_files import SavedFile

BLOCK = 4096  # number of features read at once
Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Part:
    """Some of a gallery's features.

    Args:
        array: (n, D); of a saved part, a memory-mapped file.
        rows: the rows of ``array`` that count, in order; None for all of them.
        saved: the file that holds these features and no others, or None.
    """

    array: NDArray[np.float32]
    rows: Rows | None = None
    saved: SavedFile | None = None

    def __len__(self) -> int:
        return len(self.array if self.rows is None else self.rows)

    @property
    def nbytes(self) -> int:
        """Size of these features in bytes."""
        return len(self) * self.array.itemsize * int(self.array.shape[1])

    def within(self, rows: Rows) -> Rows:
        """Rows of ``array`` for rows of this part."""
        return rows if self.rows is None else self.rows[rows]

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the features in order, BLOCK at a time."""
        for start in range(0, len(self), BLOCK):
            block = slice(start, start + BLOCK)
            yield self.array[block if self.rows is None else self.rows[block]]


class FeatureParts:
    """N features of length D.

    Attributes:
        parts: they hold the features one after the other.
    """

    def __init__(self, length: int, parts: Sequence[Part] = ()) -> None:
        self._length = length
        self.parts = list(parts)

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def append(self, features: NDArray[np.float32]) -> None:
        """Add a copy of features (n, D) at the end."""
        new = features.copy()
        # Joining parts of equal length, as long as they are short, keeps them few even if images come one by one.
        while self.parts and self._can_grow(self.parts[-1]) and len(self.parts[-1]) <= len(new):
            new = np.concatenate((self.parts.pop().array, new))
        if len(new):
            self.parts.append(Part(new))

    @staticmethod
    def _can_grow(part: Part) -> bool:
        return part.saved is None and part.rows is None and len(part) < BLOCK

    def take(self, rows: Sequence[int] | Rows) -> NDArray[np.float32]:
        """The features of these rows: (rows, D)."""
        found = np.empty((len(rows), self._length), np.float32)
        for number, chosen, within in self._located(rows):
            found[chosen] = self.parts[number].array[within]
        return found

    def put(self, rows: Sequence[int] | Rows, features: NDArray[np.float32]) -> None:
        """Replace the features of these rows; files do not change."""
        for number, chosen, within in self._located(rows):
            self.parts[number].array[within] = features[chosen]
            self.parts[number] = replace(self.parts[number], saved=None)

    def remove(self, rows: Sequence[int] | Rows) -> None:
        """Remove these rows; later ones move up."""
        for number, _, within in self._located(rows):
            part = self.parts[number]
            kept = np.setdiff1d(part.within(np.arange(len(part))), within, assume_unique=True)
            self.parts[number] = Part(part.array, kept)
        self.parts = [part for part in self.parts if len(part)]

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield all features in order, at most BLOCK at a time."""
        for part in self.parts:
            yield from part.blocks()

    def _located(self, rows: Sequence[int] | Rows) -> Iterator[tuple[int, NDArray[np.bool_], Rows]]:
        """Yield each part's number that has some of the rows, which of the rows it has, and their rows in its array."""
        rows = np.asarray(rows, np.intp)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows {rows.min()} to {rows.max()} are not all from 0 to {len(self) - 1}")
        ends = np.cumsum([len(part) for part in self.parts])
        of = np.searchsorted(ends, rows, side="right")
        for number in np.unique(of).tolist():
            chosen = of == number
            part = self.parts[number]
            yield number, chosen, part.within(rows[chosen] - (ends[number] - len(part)))
