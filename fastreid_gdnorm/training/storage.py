"""The metric storage between two epochs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def after_the_epoch(trainer: Any) -> Iterator[Any]:
    """Record metrics at the iteration after the epoch's last step, whose own metrics are already written."""
    storage = trainer.storage
    step = storage.iter
    storage.iter = trainer.iter
    try:
        yield storage
    finally:
        storage.iter = step
