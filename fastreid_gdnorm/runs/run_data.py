"""Counts the identities, images and cameras of a run's data sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastreid.config import CfgNode
from scipy.stats import binomtest

from ..data import read
from ..errors import UserError
from ..evaluation import num_matched


class Part(NamedTuple):
    """The counts of one part of a data set."""

    name: str
    identities: int
    images: int
    cameras: int


class RunData:
    """The data sets of a config.

    Attributes:
        sources: {name: parts} of the data sets to train on; empty lists for missing ones.
        targets: {name: parts} of the data sets to test on; for a data set with splits, the parts of its first split.
        missing: {name: why the data set cannot be read}.
        splits: {name: number of splits}.
        unmatched: {name: number of queries that results leave out because they have no true match}.
    """

    def __init__(self, cfg: CfgNode) -> None:
        self.sources: dict[str, list[Part]] = {}
        self.targets: dict[str, list[Part]] = {}
        self.missing: dict[str, str] = {}
        self.splits: dict[str, int] = {}
        self.unmatched: dict[str, int] = {}
        for name in cfg.DATASETS.NAMES:
            data = self._read(cfg, name, ["train"], combineall=cfg.DATASETS.COMBINEALL)
            self.sources[name] = [_part("training", data.train)] if data else []
        for name in cfg.DATASETS.TESTS:
            data = self._read(cfg, name, ["query", "gallery"])
            self.targets[name] = [_part("query", data.query), _part("gallery", data.gallery)] if data else []
            if data:
                self.unmatched[name] = len(data.query) - num_matched(data.query, data.gallery)
            if hasattr(data, "splits"):
                self.splits[name] = len(data.splits)

    def uncertainty(self, target: str, percent: float) -> float:
        """Half the 95 % interval (Wilson) of Rank-1 or another share of queries, in points.

        It assumes independent queries. Queries of one person are not, so the true interval is wider.

        Args:
            percent: the share, taken over those of ``target``'s queries that have a true match.

        Returns:
            0 if the target is missing, has splits, or has no such query.
        """
        if not self.targets.get(target) or target in self.splits:
            return 0
        queries = self.targets[target][0].images - self.unmatched[target]
        if not queries:
            return 0
        low, high = binomtest(round(percent / 100 * queries), queries).proportion_ci(method="wilson")
        return float(100 * (high - low) / 2)

    def _read(self, cfg: CfgNode, name: str, parts: Sequence[str], **kwargs: Any) -> Any:
        try:
            data = read(cfg, name, **kwargs)
            for part in parts:
                getattr(data, part)  # some data sets read it only now
        except UserError as error:
            self.missing[name] = str(error)
            return None
        return data


def _part(name: str, items: Sequence[tuple[str, Any, Any]]) -> Part:
    return Part(name, len({item[1] for item in items}), len(items), len({item[2] for item in items}))
