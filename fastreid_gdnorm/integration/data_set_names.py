"""Registers data sets that no registry can list: RenderedDraw<seed>, and the user's own tables and folders."""

from __future__ import annotations

from typing import Any

from fastreid.data.datasets import DATASET_REGISTRY

from ..data.own_data import own_data_of
from ..data.readers import Reader
from ..rendered import drawn_domain_of


def connect() -> None:
    """Make every ``RenderedDraw<seed>``, ``RenderedSmallDraw<seed>``, table and folder a registered data set.

    Names that are registered otherwise keep their meaning.
    """
    DATASET_REGISTRY._obj_map = _WithComputed(DATASET_REGISTRY._obj_map)


class _WithComputed(dict[str, Any]):
    """{name: reader}; the reader of a drawn domain is created and listed on first use."""

    def __missing__(self, name: str) -> type[Reader]:
        drawn = drawn_domain_of(name)
        reader = drawn or own_data_of(name)
        if reader is None:
            raise KeyError(name)
        if drawn:  # not for the user's own data: a folder of that name can come and go
            self[name] = drawn
        return reader

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (drawn_domain_of(name) or own_data_of(name)) is not None
