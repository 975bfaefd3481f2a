"""Directions, as papers write them: the sources and the targets of a training, such as D+C3+MT->M."""

from __future__ import annotations

from dataclasses import dataclass

from fastreid.config import CfgNode
from fastreid.data.datasets import DATASET_REGISTRY

from ..evaluation.summary import AVERAGE

MEAN = "mean"  # the paper's name for the average over targets


@dataclass(frozen=True, eq=False)
class Direction:
    """Sources and targets, by the letters of data sets in papers: D+C3+MT->M.

    Two directions are equal if they have the same sources and the same targets, in any order.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Direction:
        """Parse ``D+C3+MT->M`` or ``D+C3+MT→M``; text without an arrow has no targets."""
        sources, _, targets = text.replace("→", "->").partition("->")
        return cls(*(tuple(side.strip().split("+")) if side.strip() else () for side in (sources, targets)))

    @classmethod
    def of(cls, cfg: CfgNode) -> Direction:
        """The direction of a config, from DATASETS.NAMES and DATASETS.TESTS."""
        return cls(*(tuple(map(letters, names)) for names in (cfg.DATASETS.NAMES, cfg.DATASETS.TESTS)))

    def to(self, target: str) -> str:
        """The title of results on one target, or on the MEAN over the targets."""
        return f"{'+'.join(self.sources)}->{f'mean of {self._targets}' if target == MEAN else target}"

    @property
    def _targets(self) -> str:
        return "+".join(self.targets)

    def __str__(self) -> str:
        return f"{'+'.join(self.sources)}->{self._targets}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Direction) and self._sets() == other._sets()

    def __hash__(self) -> int:
        return hash(self._sets())

    def _sets(self) -> tuple[frozenset[str], frozenset[str]]:
        return frozenset(self.sources), frozenset(self.targets)


def letters(name: str) -> str:
    """The letters of a data set in papers, MEAN for the average over several, or the name itself if it has none."""
    reader = DATASET_REGISTRY._obj_map.get(name)
    return MEAN if name == AVERAGE else getattr(reader, "letters", "") or name
