"""SEED with samplers from elsewhere."""

import itertools
import logging

import numpy as np
import pytest
import torch
from fastreid.data import samplers
from fastreid.data.data_utils import DataLoaderX
from fastreid.data.samplers import NaiveIdentitySampler, TrainingSampler
from fastreid.engine import DefaultTrainer, hooks
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, Sampler

from fastreid_gdnorm.data import DomainBalancedIdentitySampler
from fastreid_gdnorm.registries import SAMPLER_REGISTRY
from fastreid_gdnorm.training.reproducible import Reproducible


class Counting(Sampler):
    """Keeps its state in its generator."""

    @classmethod
    def from_config(cls, cfg, train_set):
        sampler = cls()
        sampler.size = len(train_set)
        return sampler

    def __iter__(self):
        return (number % self.size for number in itertools.count())


class SeededOnce(Counting):
    """Keeps its state in itself."""

    rng = None

    def __iter__(self):
        self.rng = self.rng or np.random.default_rng(0)
        while True:
            yield int(self.rng.integers(self.size))


class WithEpochs(Counting):
    """Has set_epoch, as torch's DistributedSampler does."""

    epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        return (number % self.size for number in itertools.count(100 * self.epoch))


class CountsOn(TrainingSampler):
    """Derives from a fast-reid sampler, but iterates differently."""

    def __iter__(self):
        return iter(itertools.cycle(range(self._size)))


class BatchesOfTheirOwn(Sampler):
    def __iter__(self):
        return ([number % 24, number % 7] for number in itertools.count())


class Images(torch.utils.data.Dataset):
    img_items = [(f"{number}.jpg", number // 4, 0) for number in range(24)]

    def __len__(self):
        return 24

    def __getitem__(self, index):
        return index


class Endless(torch.utils.data.IterableDataset):
    def __iter__(self):
        return itertools.count()


class Inner:
    """The inner trainer of a fast-reid trainer."""

    def __init__(self, loader):
        self.data_loader, self._data_loader_iter = loader, iter(loader)


class Outer:
    """A trainer's loop that only draws batches."""

    start_epoch, iters = 0, 3
    data_loader = property(lambda self: self._trainer.data_loader)

    def __init__(self, loader):
        self._trainer = Inner(loader)

    def epochs(self, *numbers):
        hook = Reproducible(seed=5, metrics=None)
        hook.trainer = self
        taken = []
        for self.epoch in numbers:
            hook.before_epoch()
            taken.append([next(self._trainer._data_loader_iter).tolist() for _ in range(self.iters)])
        return taken


def batches(sampler, size=4):
    return toolbox_loader(BatchSampler(sampler, size, True))


def toolbox_loader(batch_sampler):
    """fast-reid's loader, keeping its batches on the CPU."""
    loader = DataLoaderX(0, dataset=Images(), batch_sampler=batch_sampler)
    loader.stream = None
    return loader


def of_size(kind):
    sampler = kind()
    sampler.size = 24
    return sampler


ENDLESS = {
    "counting": lambda: batches(of_size(Counting)),
    "seeded once": lambda: batches(of_size(SeededOnce)),
    "derived": lambda: batches(CountsOn(24, seed=1)),
    "batches of their own": lambda: toolbox_loader(BatchesOfTheirOwn()),
    "iterable data set": lambda: DataLoader(Endless(), batch_size=4),
}
WITH_EPOCHS = {
    "set_epoch": lambda: batches(of_size(WithEpochs)),
    "stock": lambda: batches(NaiveIdentitySampler(Images.img_items, 4, 2, seed=1)),
    "ours": lambda: batches(DomainBalancedIdentitySampler(Images.img_items, [0] * 24, 4, 2, seed=1)),
    "torch's": lambda: DataLoader(Images(), batch_size=4, sampler=RandomSampler(Images())),
}


@pytest.mark.parametrize("loader", ENDLESS.values(), ids=ENDLESS)
def test_a_sampler_that_knows_no_epochs_continues_across_them(loader, monkeypatch):
    monkeypatch.setattr(samplers, "TrainingSampler", CountsOn)  # as a project does to replace it
    found = Outer(loader()).epochs(0, 1, 2)
    without_seed = iter(loader())
    assert found == [[next(without_seed).tolist() for _ in range(3)] for _ in range(3)]
    assert found[0] != found[1]


@pytest.mark.parametrize("loader", WITH_EPOCHS.values(), ids=WITH_EPOCHS)
def test_a_sampler_that_knows_epochs_starts_each_from_its_number_alone(loader):
    first, second, third = Outer(loader()).epochs(0, 1, 2)
    assert first != second != third
    assert Outer(loader()).epochs(1, 2) == [second, third], "a resumed run draws the same batches"


def test_a_registered_sampler_without_reseed_trains_with_a_seed_and_logs_a_warning(tiny, monkeypatch, caplog):
    monkeypatch.setitem(SAMPLER_REGISTRY._obj_map, "Counting", Counting)
    cfg = tiny("baseline", "SEED", "0", "DATALOADER.SAMPLER_TRAIN", "Counting", "SOLVER.MAX_EPOCH", "2")
    seen = []

    class Trainer(DefaultTrainer):
        @classmethod
        def test(cls, cfg, model):
            return {}

        def build_hooks(self):
            return [hook for hook in super().build_hooks() if not isinstance(hook, hooks.PeriodicCheckpointer)]

        def run_step(self):
            seen.append(next(self._trainer._data_loader_iter)["img_paths"])

    trainer = Trainer(cfg)
    trainer.checkpointer.save("before")
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)
    trainer.train()
    taken = [path for batch in seen for path in batch]
    items = [item[0] for item in trainer.data_loader.dataset.img_items]
    assert len(taken) == 2 * 6 * 12 and taken == (items * 3)[: len(taken)]
    assert "neither reseed(seed) nor set_epoch(epoch)" in caplog.text
