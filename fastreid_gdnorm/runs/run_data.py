"""How many people, images and cameras a run's data sets have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastreid.config import CfgNode
from scipy.stats import binomtest

from ..data import read
from ..errors import UserError
from ..evaluation import num_matched


class Part(NamedTuple):
    """A part of a data set, which is an item (path, identity, camera) for each image."""

    name: str
    identities: int
    images: int
    cameras: int


class RunData:
    """The data sets of a config: parts by name in ``sources`` and ``targets``; why one cannot be read in ``missing``.

    ``splits`` has the number of splits of those that are tested on several; their parts are those of the first.
    ``unmatched`` has the number of queries that results leave out, as they have no true match.
    """

    def __init__(self, cfg: CfgNode) -> None:
        self.sources: dict[str, list[Part]] = {}
        self.targets: dict[str, list[Part]] = {}
        self.missing: dict[str, str] = {}
        self.splits: dict[str, int] = {}
        self.unmatched: dict[str, int] = {}
        for name in cfg.DATASETS.NAMES:
            data = self._read(cfg, name, combineall=cfg.DATASETS.COMBINEALL)
            self.sources[name] = [_part("training", data.train)] if data else []
        for name in cfg.DATASETS.TESTS:
            data = self._read(cfg, name)
            self.targets[name] = [_part("query", data.query), _part("gallery", data.gallery)] if data else []
            if data:
                self.unmatched[name] = len(data.query) - num_matched(data.query, data.gallery)
            if hasattr(data, "splits"):
                self.splits[name] = len(data.splits)

    def uncertainty(self, target: str, percent: float) -> float:
        """Half the 95 % interval (Wilson) of a share of ``target``'s queries, in points; 0 where it is not known so.

        It is of those that have a true match. It takes them for independent of each other, which those of one person
        are not: it is rather more.
        """
        if not self.targets.get(target) or target in self.splits:
            return 0
        queries = self.targets[target][0].images - self.unmatched[target]
        if not queries:
            return 0
        low, high = binomtest(round(percent / 100 * queries), queries).proportion_ci(method="wilson")
        return float(100 * (high - low) / 2)

    def _read(self, cfg: CfgNode, name: str, **kwargs: Any) -> Any:
        try:
            return read(cfg, name, **kwargs)
        except UserError as error:
            self.missing[name] = str(error)
            return None


def _part(name: str, items: Sequence[tuple[str, Any, Any]]) -> Part:
    return Part(name, len({item[1] for item in items}), len(items), len({item[2] for item in items}))
