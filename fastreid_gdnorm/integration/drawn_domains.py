"""Registers the data sets RenderedDraw<seed>: any seed is valid, so the registry cannot list them all."""

from __future__ import annotations

from typing import Any

from fastreid.data.datasets import DATASET_REGISTRY

from ..rendered import drawn_domain_of


def connect() -> None:
    """Make every ``RenderedDraw<seed>`` and ``RenderedSmallDraw<seed>`` a registered data set."""
    DATASET_REGISTRY._obj_map = _WithDrawn(DATASET_REGISTRY._obj_map)


class _WithDrawn(dict[str, Any]):
    """{name: reader}; the reader of a drawn domain is created and listed on first use."""

    def __missing__(self, name: str) -> Any:
        reader = drawn_domain_of(name)
        if reader is None:
            raise KeyError(name)
        self[name] = reader
        return reader

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or drawn_domain_of(str(name)) is not None
