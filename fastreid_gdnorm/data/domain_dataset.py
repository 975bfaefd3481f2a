"""The training set that knows the domain of each image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastreid.data import CommDataset

from .identities import Item, apart


class DomainDataset(CommDataset):
    """fast-reid's training set, whose items also have ``domains``: the number of their source.

    Args:
        sources: for each source, its items (image path, pid, camera id). Numeric pids belong to one source: if two
            sources count from 1, they have different people. The same text in two sources is the same person;
            fast-reid's readers put the data set's name in front.
        transform: applied to every image.
    """

    def __init__(self, sources: Sequence[Sequence[Item]], transform: Any = None) -> None:
        names = [f"source{k}" for k in range(len(sources))]
        sources = apart(sources, names, [""] * len(names))
        super().__init__([item for items in sources for item in items], transform, relabel=True)
        self.domains = [k for k, items in enumerate(sources) for _ in items]

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**super().__getitem__(index), "domains": self.domains[index]}
