"""Patch of fastreid.utils.checkpoint: files are written whole, loading them runs no code, old names are renamed."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Iterator
from typing import Any

from ..disk import replacing
from ..errors import UserError, explained
from .tools import Overlay, load_weights, source_has

logger = logging.getLogger("fastreid.gdnorm.checkpoints")

NECK, OLD_NECK, OLD_CLASSIFIER = ".bottleneck.0.", ".bnneck.", ".classifier.weight"


class _AtomicPathManager(Overlay):
    """fast-reid's PathManager, except that a file opened for writing appears once it is complete."""

    def open(self, path: str, mode: str = "r", **kwargs: Any) -> Any:
        return self._replace(path, mode, **kwargs) if "w" in mode else self._stock.open(path, mode, **kwargs)

    @contextlib.contextmanager
    def _replace(self, path: str, mode: str, **kwargs: Any) -> Iterator[Any]:
        with replacing(path) as part, self._stock.open(str(part), mode, **kwargs) as file:
            yield file


def patch_checkpoints() -> None:
    """Checkpoints are written over the last good one; loading them runs any code in them and leaves out old names."""
    from fastreid.engine import defaults
    from fastreid.utils import checkpoint

    checkpointer = checkpoint.Checkpointer
    if source_has(checkpointer.save, "PathManager.open(save_file"):
        checkpoint.PathManager = _AtomicPathManager(checkpoint.PathManager)
    if source_has(defaults.default_setup, "PathManager.open(path"):
        defaults.PathManager = _AtomicPathManager(defaults.PathManager)

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
        checkpointer._load_file = _load_file
        checkpointer._log_renamed_keys = _log_renamed_keys
    checkpointer.load = load


def _load_file(self: Any, path: str) -> Any:
    weights = load_weights(path, f"checkpoint {path}", "name another with MODEL.WEIGHTS, or in last_checkpoint")
    if isinstance(weights, dict) and isinstance(weights.get("model"), dict):
        renamed = _rename_old(weights["model"], self.model)
        if renamed:
            self._log_renamed_keys(renamed)
    return weights


def _log_renamed_keys(self: Any, renamed: str) -> None:
    logger.info("The checkpoint is of an earlier fast-reid: renamed %s", renamed)


def _rename_old(state: dict[str, Any], model: Any) -> str:
    """Give the tensors of heads the names that they have in ``model``.

    In 2020 ``X.bnneck`` was what is ``X.bottleneck.0`` now, and until March 2021 ``X.classifier.weight`` what is
    ``X.weight`` now. A neck that does not begin with BN, as MGN's, is not what it was then, and is left alone.

    Returns:
        What was renamed, in words: heads.bnneck to heads.bottleneck.0, ...
    """
    prefix = "module." if all(key.startswith("module.") for key in state) else ""  # stock removes it later
    own = model.state_dict()
    norms = {key.partition(NECK)[0] for key in own if NECK in key and key.endswith("running_mean")}
    renamed = {}
    for name in [key[len(prefix) :] for key in state]:
        if name in own:
            continue
        head, _, rest = name.partition(OLD_NECK)
        if rest and head in norms:
            state[f"{prefix}{head}{NECK}{rest}"] = state.pop(prefix + name)
            renamed[head + OLD_NECK] = head + NECK
        elif name.endswith(OLD_CLASSIFIER) and (new := name.replace(OLD_CLASSIFIER, ".weight")) in own:
            state[prefix + new] = state.pop(prefix + name)
            renamed[name] = new
    return ", ".join(f"{old.rstrip('.')} to {new.rstrip('.')}" for old, new in sorted(renamed.items()))
