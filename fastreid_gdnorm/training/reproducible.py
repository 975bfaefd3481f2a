"""A run that depends on its seed alone, whether it was interrupted or not."""

import logging
import os
import shutil

import numpy as np
from fastreid.data import samplers
from fastreid.data.data_utils import DataLoaderX
from fastreid.engine.hooks import HookBase
from fastreid.utils import comm
from fastreid.utils.env import seed_all_rng
from torch.utils.data import BatchSampler, DataLoader

logger = logging.getLogger("fastreid.gdnorm.reproducible")

ITERATES = ("__iter__", "_infinite_indices")  # of fast-reid's samplers, which begin by their _seed
SEEDED = [kind for kind in map(vars(samplers).get, samplers.__all__) if hasattr(kind, ITERATES[1])]
HISTORY = 1000  # values of a metric that the toolbox's smoothing looks back on


class Reproducible(HookBase):
    """Starts every epoch from (seed, epoch) alone, and lets a resumed run write the metrics of an unbroken one.

    Every epoch begins with fresh random numbers and a fresh loader. What smoothed metrics look back on goes into
    the checkpoint; metrics are written before it, and those of an epoch that was cut off are taken back.

    The loader begins afresh only if its sampler, or batch sampler, can begin an epoch: by a method ``reseed(seed)``,
    after which its next iteration depends on the seed alone; by torch's ``set_epoch(epoch)``; as one of fast-reid's
    samplers; or as one that has a length, and so an end. Any other goes on where it was, as without a SEED.

    The trainer builds it if SEED is not -1, and calls it between evaluation and checkpoint.

    Args:
        seed: SEED.
        metrics: the trainer's JSONWriter; None where another process writes.
    """

    def __init__(self, seed, metrics):
        self._seed = seed
        self._metrics = metrics
        self._resumed = {"history": {}, "size": None}

    def before_train(self):
        if not self._begin_epoch(self.trainer.start_epoch):
            logger.warning(
                "SEED: the training loader goes on from epoch to epoch, as its sampler has neither reseed(seed) nor "
                "set_epoch(epoch): the run can be repeated, but a resumed run does not equal an unbroken one"
            )
        storage = self.trainer.storage
        for name, (hint, values) in self._resumed["history"].items():
            storage.smoothing_hints()[name] = hint
            for value, iteration in values:
                storage.histories()[name].update(value, iteration)
        storage._latest_scalars.update(self._resumed.get("latest", {}))
        size = 0 if self.trainer.start_iter == 0 else self._resumed["size"]  # None: the checkpoint is of no such run
        if self._metrics:
            self._metrics._last_write = self._resumed.get("written", self._metrics._last_write)
            if size is not None and self._size() > size:
                self._cut_metrics_file(size)

    def before_epoch(self):
        epoch = self.trainer.epoch
        seed_all_rng(_seed(self._seed, epoch, comm.get_rank()))
        if self._begin_epoch(epoch):
            loader = self.trainer.data_loader
            if isinstance(loader, DataLoaderX) and loader.stream is not None:
                loader.shutdown()
            self.trainer._trainer._data_loader_iter = iter(loader)

    def _begin_epoch(self, epoch):
        """Have the loader's next iteration depend on (seed, epoch) alone; whether that can be had."""
        loader = getattr(self.trainer, "data_loader", None)
        if not (isinstance(loader, DataLoader) and hasattr(self.trainer._trainer, "_data_loader_iter")):
            return False
        outer = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
        inner = [outer.sampler] if hasattr(outer, "sampler") else []
        own = inner if type(outer) is BatchSampler else [outer, *inner]
        begun = [sampler for sampler in own if _begin(sampler, epoch, _seed(self._seed, epoch))]
        return bool(begun) or hasattr(own[0], "__len__")

    def after_epoch(self):
        if self._metrics:
            self._metrics.write()

    def state_dict(self):
        """For the checkpoint: what metrics look back on, which of them are written, and how long their file is."""
        storage = getattr(self.trainer, "storage", None)
        if storage is None:  # saved before training
            return self._resumed
        history = {
            name: (storage.smoothing_hints()[name], values.values()[-HISTORY:])
            for name, values in storage.histories().items()
        }
        written = {"latest": dict(storage.latest()), "written": self._metrics._last_write} if self._metrics else {}
        return {"history": history, "size": self._size(), **written}

    def load_state_dict(self, state):
        self._resumed = state

    def _cut_metrics_file(self, size):
        file = self._metrics._file_handle.name
        if size == 0:
            with open(file, "rb") as earlier, open(file + ".old", "ab") as kept:  # what earlier runs have left here
                shutil.copyfileobj(earlier, kept)
        os.truncate(file, size)

    def _size(self):
        return os.path.getsize(self._metrics._file_handle.name) if self._metrics else 0


def _begin(sampler, epoch, seed):
    """Have a sampler begin an epoch; whether it can."""
    if hasattr(sampler, "reseed"):
        sampler.reseed(seed)
    elif hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)
    elif _iterates_as_stocks(sampler):
        sampler._seed = seed
    else:
        return False
    return True


def _iterates_as_stocks(sampler):
    """Whether it is one of fast-reid's samplers, or of a class derived from one that changes other things."""
    own = [getattr(type(sampler), name, None) for name in ITERATES]
    return own in [[getattr(kind, name) for name in ITERATES] for kind in SEEDED]


def _seed(*parts):
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
