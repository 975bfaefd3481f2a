"""Which sources and which targets: a direction, as papers write it."""

from __future__ import annotations

from dataclasses import dataclass

from fastreid.config import CfgNode
from fastreid.data.datasets import DATASET_REGISTRY

from ..evaluation.summary import AVERAGE

MEAN = "mean"  # the paper's word for the average over targets


@dataclass(frozen=True, eq=False)
class Direction:
    """Sources and targets by the letters that papers give data sets: D+C3+MT->M.

    Two directions are equal if they have the same sources and the same targets, in whatever order.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Direction:
        """The direction that is written as ``D+C3+MT->M`` or ``D+C3+MT→M``; without an arrow it has no targets."""
        sources, _, targets = text.replace("→", "->").partition("->")
        return cls(*(tuple(side.strip().split("+")) if side.strip() else () for side in (sources, targets)))

    @classmethod
    def of(cls, cfg: CfgNode) -> Direction:
        """The direction of a config's DATASETS."""
        return cls(*(tuple(map(letters, names)) for names in (cfg.DATASETS.NAMES, cfg.DATASETS.TESTS)))

    def to(self, target: str) -> str:
        """The title of what is measured on one of the targets, or of the MEAN over them."""
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
    """A data set, or the average over several, as papers write it; its own name where they have none."""
    reader = DATASET_REGISTRY._obj_map.get(name)
    return MEAN if name == AVERAGE else getattr(reader, "letters", "") or name
