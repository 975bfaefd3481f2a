"""The storage of metrics between two epochs."""

import contextlib


@contextlib.contextmanager
def after_the_epoch(trainer):
    """Metrics put within it count as put after the epoch's last step, whose own are written already."""
    storage = trainer.storage
    step = storage.iter
    storage.iter = trainer.iter
    try:
        yield storage
    finally:
        storage.iter = step
