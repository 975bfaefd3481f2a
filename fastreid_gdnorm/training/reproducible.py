"""Runs that depend only on their seed, whether interrupted or not."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
from fastreid.data import samplers
from fastreid.data.data_utils import DataLoaderX
from fastreid.engine.hooks import HookBase
from fastreid.utils import comm
from fastreid.utils.env import seed_all_rng
from torch.utils.data import BatchSampler, DataLoader

logger = logging.getLogger("fastreid.gdnorm.reproducible")

ITERATION_METHODS = ("__iter__", "_infinite_indices")  # with these, fast-reid's samplers start from their _seed
SEEDED_SAMPLERS: list[Any] = [
    kind for kind in map(vars(samplers).get, samplers.__all__) if hasattr(kind, ITERATION_METHODS[1])
]
HISTORY = 1000  # how many values of a metric fast-reid's smoothing uses


class Reproducible(HookBase):
    """Starts every epoch from (seed, epoch) alone, so a resumed run writes the same metrics as an uninterrupted one.

    Every epoch starts with newly seeded random numbers and a new iteration of the loader. Metrics are written before
    each checkpoint, and the checkpoint stores the values that smoothing needs. Resuming removes the metrics of an
    unfinished epoch.

    The loader restarts only if its sampler or batch sampler can start an epoch: if it has a method ``reseed(seed)``,
    after which its next iteration depends only on the seed, or torch's ``set_epoch(epoch)``; if it is one of
    fast-reid's; or if it has a length, and therefore an end. Any other sampler continues across epochs, as it does
    without a SEED.

    The trainer builds this hook if SEED is not -1, and calls it between evaluation and checkpoint.

    Args:
        seed: SEED.
        metrics: the trainer's JSONWriter; None if another process writes metrics.
    """

    def __init__(self, seed: int, metrics: Any) -> None:
        self._seed = seed
        self._metrics = metrics
        self._resumed: Mapping[str, Any] = {"history": {}, "size": None}

    def before_train(self) -> None:
        if not self._start_epoch(self.trainer.start_epoch):
            logger.warning(
                "SEED: the training sampler has neither reseed(seed) nor set_epoch(epoch), so it cannot restart each "
                "epoch: the run is repeatable, but a resumed run will differ from an uninterrupted one"
            )
        storage = self.trainer.storage
        for name, (hint, values) in self._resumed["history"].items():
            storage.smoothing_hints()[name] = hint
            for value, iteration in values:
                storage.histories()[name].update(value, iteration)
        storage._latest_scalars.update(self._resumed.get("latest", {}))
        # None if the checkpoint comes from a run without SEED
        size = 0 if self.trainer.start_iter == 0 else self._resumed["size"]
        if self._metrics:
            self._metrics._last_write = self._resumed.get("written", self._metrics._last_write)
            if size is not None and self._size() > size:
                self._cut_metrics_file(size)

    def before_epoch(self) -> None:
        epoch = self.trainer.epoch
        seed_all_rng(_seed(self._seed, epoch, comm.get_rank()))
        if self._start_epoch(epoch):
            loader = self.trainer.data_loader
            if isinstance(loader, DataLoaderX) and loader.stream is not None:
                loader.shutdown()
            self.trainer._trainer._data_loader_iter = iter(loader)

    def _start_epoch(self, epoch: int) -> bool:
        """Make the loader's next iteration depend on (seed, epoch) alone; False if it cannot."""
        loader = getattr(self.trainer, "data_loader", None)
        if not (isinstance(loader, DataLoader) and hasattr(self.trainer._trainer, "_data_loader_iter")):
            return False
        outer: Any = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
        inner: list[Any] = [outer.sampler] if hasattr(outer, "sampler") else []
        own = inner if type(outer) is BatchSampler else [outer, *inner]
        started = [sampler for sampler in own if _start(sampler, epoch, _seed(self._seed, epoch))]
        return bool(started) or hasattr(own[0], "__len__")

    def after_epoch(self) -> None:
        if self._metrics:
            self._metrics.write()

    def state_dict(self) -> Mapping[str, Any]:
        """The values that smoothing needs, which metrics are written, and the size of the metrics file."""
        storage = getattr(self.trainer, "storage", None)
        if storage is None:  # saved before training
            return self._resumed
        history = {
            name: (storage.smoothing_hints()[name], values.values()[-HISTORY:])
            for name, values in storage.histories().items()
        }
        written = {"latest": dict(storage.latest()), "written": self._metrics._last_write} if self._metrics else {}
        return {"history": history, "size": self._size(), **written}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._resumed = state

    def _cut_metrics_file(self, size: int) -> None:
        file = self._metrics._file_handle.name
        if size == 0:
            with open(file, "rb") as earlier, open(file + ".old", "ab") as kept:  # keep the metrics of earlier runs
                shutil.copyfileobj(earlier, kept)
        os.truncate(file, size)

    def _size(self) -> int:
        return os.path.getsize(self._metrics._file_handle.name) if self._metrics else 0


def _start(sampler: Any, epoch: int, seed: int) -> bool:
    """Make a sampler start an epoch; False if it cannot."""
    if hasattr(sampler, "reseed"):
        sampler.reseed(seed)
    elif hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)
    elif _iterates_like_stock(sampler):
        sampler._seed = seed
    else:
        return False
    return True


def _iterates_like_stock(sampler: Any) -> bool:
    """Whether the sampler is fast-reid's, or a subclass that inherits the iteration."""
    own = [getattr(type(sampler), name, None) for name in ITERATION_METHODS]
    return own in [[getattr(kind, name) for name in ITERATION_METHODS] for kind in SEEDED_SAMPLERS]


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
