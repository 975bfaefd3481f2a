"""Patch of fastreid.utils.checkpoint: files are written whole or not at all, and loading them runs no code."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any

from ..disk import replacing
from ..errors import UserError, explained
from .tools import Overlay, load_weights, source_has


class _AtomicPathManager(Overlay):
    """fast-reid's PathManager, except that a file opened for writing appears once it is complete."""

    def open(self, path: str, mode: str = "r", **kwargs: Any) -> Any:
        return self._replace(path, mode, **kwargs) if "w" in mode else self._stock.open(path, mode, **kwargs)

    @contextlib.contextmanager
    def _replace(self, path: str, mode: str, **kwargs: Any) -> Iterator[Any]:
        with replacing(path) as part, self._stock.open(str(part), mode, **kwargs) as file:
            yield file


def patch_checkpoints() -> None:
    """Checkpoints and a run's config are written over the last good one; loading a checkpoint runs any code in it."""
    from fastreid.engine import defaults
    from fastreid.utils import checkpoint

    checkpointer = checkpoint.Checkpointer
    if source_has(checkpointer.save, "PathManager.open(save_file"):
        checkpoint.PathManager = _AtomicPathManager(checkpoint.PathManager)
    if source_has(defaults.default_setup, "PathManager.open(path"):
        defaults.PathManager = _AtomicPathManager(defaults.PathManager)

    def load_file(self: Any, path: str) -> Any:
        return load_weights(path, f"checkpoint {path}", "name another with MODEL.WEIGHTS, or in last_checkpoint")

    stock_load = checkpointer.load

    @functools.wraps(stock_load)
    def load(self: Any, path: str, checkpointables: Any = None) -> Any:
        if path and "://" not in path and not os.path.isfile(path):
            raise explained(AssertionError(), f"checkpoint {path} does not exist: correct MODEL.WEIGHTS")
        try:
            return stock_load(self, path, checkpointables)
        except UserError:
            raise
        except KeyError as error:
            raise explained(error, f"checkpoint {path} has no entry {error}: fast-reid did not write it") from error
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise explained(error, f"checkpoint {path} does not fit this model: {reason}") from error

    if source_has(checkpointer._load_file, "torch.load(f, map_location=torch.device("):
        checkpointer._load_file = load_file
    checkpointer.load = load
