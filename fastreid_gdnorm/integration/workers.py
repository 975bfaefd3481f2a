"""Worker processes that are spawned, not forked: they must import the plugin too, or fast-reid is unpatched there."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fastreid.data import CommDataset


def connect() -> None:
    """Pickle a data set so that the process that unpickles it imports this module, and so the plugin."""
    # this calls the __reduce__ or __getstate__ of subclasses
    stock_reduce = CommDataset.__reduce_ex__

    @functools.wraps(stock_reduce)
    def reduce_ex(self: Any, protocol: int) -> Any:
        reduced = stock_reduce(self, protocol)
        return reduced if isinstance(reduced, str) else (_restore, reduced[:2], *reduced[2:])

    CommDataset.__reduce_ex__ = reduce_ex


def _restore(make: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return make(*arguments)
