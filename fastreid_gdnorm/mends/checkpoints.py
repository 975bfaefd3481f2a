"""Mends of fastreid's checkpoints: written whole or not at all, and loaded without the code that they may hold."""

import contextlib
import functools
import os
import pickle
import types

import torch

from ..errors import UserError
from .tools import source_has


class _AtomicPathManager:
    """fastreid's PathManager, but a file opened for writing appears whole or not at all."""

    def __init__(self, path_manager):
        self._stock = path_manager

    def __getattr__(self, name):
        return getattr(self._stock, name)

    @contextlib.contextmanager
    def open(self, path, mode="r", **kwargs):
        if "w" not in mode:
            with self._stock.open(path, mode, **kwargs) as file:
                yield file
            return
        temporary = f"{path}.tmp"
        try:
            with self._stock.open(temporary, mode, **kwargs) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.remove(temporary)
            raise


class _WeightsUnpickler(pickle.Unpickler):
    """What ``weights_only`` is in torch 2.4 and later; before, that refuses floats or Counters in a checkpoint."""

    def find_class(self, module, name):
        allowed = (
            (module == "collections" and name in ("OrderedDict", "Counter"))
            or (module == "torch._utils" and name.startswith("_rebuild_"))
            or (module in ("torch", "torch.storage") and name.endswith("Storage"))
        )
        if not allowed:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of weights")
        return super().find_class(module, name)


def load_weights(path):
    """A checkpoint on the CPU, without running any code that it may hold."""
    if tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 4):
        return torch.load(path, map_location="cpu", weights_only=True)
    # torch 1.13 takes no other pickle_module than the one it has imported
    stock = torch.serialization.pickle
    torch.serialization.pickle = types.ModuleType("weights_pickle")
    vars(torch.serialization.pickle).update(
        vars(stock),
        Unpickler=_WeightsUnpickler,
        load=lambda file, **kwargs: _WeightsUnpickler(file, **kwargs).load(),
    )
    try:
        return torch.load(path, map_location="cpu")
    finally:
        torch.serialization.pickle = stock


def mend_checkpoints():
    from fastreid.utils import checkpoint

    checkpointer = checkpoint.Checkpointer
    if source_has(checkpointer.save, "PathManager.open(save_file"):
        checkpoint.PathManager = _AtomicPathManager(checkpoint.PathManager)

    def load_file(self, path):
        try:
            return load_weights(path)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            lines = str(error).splitlines() or [type(error).__name__]
            reason = next((line.strip() for line in lines if "Unsupported" in line), lines[0])
            raise UserError(
                f"checkpoint {path} is damaged or holds more than weights ({reason}): name another with "
                "MODEL.WEIGHTS, or in last_checkpoint"
            ) from error

    stock_load = checkpointer.load

    @functools.wraps(stock_load)
    def load(self, path, checkpointables=None):
        if path and "://" not in path and not os.path.isfile(path):
            raise UserError(f"checkpoint {path} is not found: see MODEL.WEIGHTS")
        try:
            return stock_load(self, path, checkpointables)
        except UserError:
            raise
        except KeyError as error:
            raise UserError(f"checkpoint {path} has no entry {error}: it is none of fast-reid's") from error
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"checkpoint {path} does not fit this model: {' '.join(str(error).split())}") from error

    if source_has(checkpointer._load_file, "torch.load(f, map_location=torch.device("):
        checkpointer._load_file = load_file
    checkpointer.load = load
