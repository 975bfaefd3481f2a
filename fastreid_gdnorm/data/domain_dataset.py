"""The training set that remembers which domain an image is from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastreid.data import CommDataset


class DomainDataset(CommDataset):
    """fast-reid's training set, whose items also have ``domains``, the number of the data set they come from.

    Args:
        sources: for each source domain its items, a list of (image path, pid, camera id); pids and camera ids
            are unique over all sources, as fast-reid's readers make them.
        transform: what the images go through.
    """

    def __init__(self, sources: Sequence[Sequence[tuple[str, Any, Any]]], transform: Any = None) -> None:
        super().__init__([item for items in sources for item in items], transform, relabel=True)
        self.domains = [k for k, items in enumerate(sources) for _ in items]

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**super().__getitem__(index), "domains": self.domains[index]}
