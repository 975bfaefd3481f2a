"""The storage of metrics between two epochs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def after_the_epoch(trainer: Any) -> Iterator[Any]:
    """Metrics put within it count as put after the epoch's last step, whose own are written already."""
    storage = trainer.storage
    step = storage.iter
    storage.iter = trainer.iter
    try:
        yield storage
    finally:
        storage.iter = step
