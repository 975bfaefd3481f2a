"""A run that depends on its seed alone, whether it was interrupted or not."""

import os
import shutil

import numpy as np
from fastreid.data.data_utils import DataLoaderX
from fastreid.engine.hooks import HookBase
from fastreid.utils import comm
from fastreid.utils.env import seed_all_rng

HISTORY = 1000  # values of a metric that the toolbox's smoothing looks back on


class Reproducible(HookBase):
    """Starts every epoch from (seed, epoch) alone, and lets a resumed run write the metrics of an unbroken one.

    Every epoch begins with fresh random numbers and a fresh loader. What smoothed metrics look back on goes into
    the checkpoint; metrics are written before it, and those of an epoch that was cut off are taken back.

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
        storage = self.trainer.storage
        for name, (hint, values) in self._resumed["history"].items():
            storage.smoothing_hints()[name] = hint
            for value, iteration in values:
                storage.histories()[name].update(value, iteration)
        size = 0 if self.trainer.start_iter == 0 else self._resumed["size"]  # None: the checkpoint is of no such run
        if self._metrics and size is not None and self._size() > size:
            self._cut_metrics_file(size)

    def before_epoch(self):
        epoch = self.trainer.epoch
        seed_all_rng(_seed(self._seed, epoch, comm.get_rank()))
        loader = self.trainer.data_loader
        if isinstance(loader, DataLoaderX):
            loader.batch_sampler.sampler._seed = _seed(self._seed, epoch)  # where the toolbox's samplers keep it
            if loader.stream is not None:
                loader.shutdown()
            self.trainer._trainer._data_loader_iter = iter(loader)

    def after_epoch(self):
        if self._metrics:
            self._metrics.write()

    def state_dict(self):
        """For the checkpoint: what metrics look back on, and how long their file is."""
        storage = self.trainer.storage
        history = {
            name: (storage.smoothing_hints()[name], values.values()[-HISTORY:])
            for name, values in storage.histories().items()
        }
        return {"history": history, "size": self._size()}

    def load_state_dict(self, state):
        self._resumed = state

    def _cut_metrics_file(self, size):
        file = self._metrics._file_handle.name
        if size == 0:
            shutil.copyfile(file, file + ".old")  # what an earlier run has left in this folder
        os.truncate(file, size)

    def _size(self):
        return os.path.getsize(self._metrics._file_handle.name) if self._metrics else 0


def _seed(*parts):
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
