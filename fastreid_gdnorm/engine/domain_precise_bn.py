"""Population statistics that fit the weights as they are."""

import contextlib
import logging

import numpy as np
import torch
import torch.distributed as dist
from fastreid.data import CommDataset, build_reid_test_loader
from fastreid.data.transforms import build_transforms
from fastreid.engine.hooks import HookBase
from fastreid.utils import comm
from torch.nn.parallel import DistributedDataParallel

from ..errors import UserError
from ..layers import DomainPath, GaussianProcess
from ..mends.training import after_the_epoch

logger = logging.getLogger("fastreid.gdnorm.precise_bn")


class DomainPreciseBN(HookBase):
    """Re-estimates every branch's population statistics before an evaluation and before a checkpoint.

    In training these are running averages, which lag behind the weights; the mean path is made of them. Here the
    statistics of a domain's own training images, in batches and prepared as in testing, are averaged instead; training
    goes on from them. After every epoch the hook also puts ``gaussian_process/var_a`` and ``.../var_b`` into the
    storage: the means over layers of the variances of a and b (Eq. 10).

    Args:
        model: with ``embed(batched_inputs, paths)``, as :class:`GDNormTraining` has it.
        loaders: for every domain, a loader of its images in random order.
        periods: it runs after the last epoch and each that one of these numbers divides.
    """

    def __init__(self, model, loaders, periods):
        self._model = _unwrapped(model)
        self._loaders = loaders
        self._periods = periods
        self._gaussian_process = GaussianProcess(self._model)

    @classmethod
    def from_config(cls, cfg, trainer):
        """For SOLVER.HOOKS: at the most TEST.PRECISE_BN.NUM_ITER batches of SOLVER.IMS_PER_BATCH images a domain.

        Raises:
            UserError: the trainer's model has no GDNorm.
        """
        if not hasattr(_unwrapped(trainer.model), "embed"):
            name = cfg.MODEL.META_ARCHITECTURE
            raise UserError(f"SOLVER.HOOKS DomainPreciseBN needs a GDNorm model, not MODEL.META_ARCHITECTURE {name}")
        return cls(
            trainer.model,
            [_domain_loader(cfg, trainer.data_loader.dataset, k) for k in range(len(cfg.DATASETS.NAMES))],
            periods=(cfg.TEST.EVAL_PERIOD, cfg.SOLVER.CHECKPOINT_PERIOD),
        )

    @torch.no_grad()
    def after_epoch(self):
        done = self.trainer.epoch + 1
        if done == self.trainer.max_epoch or any(done % period == 0 for period in self._periods):
            self.update()
        var_a, var_b = self._gaussian_process.spread()
        with after_the_epoch(self.trainer) as storage:
            storage.put_scalar("gaussian_process/var_a", var_a, smoothing_hint=False)
            storage.put_scalar("gaussian_process/var_b", var_b, smoothing_hint=False)

    @torch.no_grad()
    def update(self):
        """Re-estimate the statistics of all branches now."""
        logger.info("Re-estimating the population statistics of %d domains", len(self._loaders))
        was_training = self._model.training
        self._model.eval()
        try:
            for domain, loader in enumerate(self._loaders):
                branches = [layer.branches[domain] for layer in self._gaussian_process.layers.values()]
                with _averaging(branches):
                    for batch in loader:
                        domains = torch.full_like(batch["targets"], domain)
                        self._model.embed(batch, [DomainPath(domains)])
        finally:
            self._model.train(was_training)


def _unwrapped(model):
    return model.module if isinstance(model, DistributedDataParallel) else model


@contextlib.contextmanager
def _averaging(branches):
    """Branches that take batch statistics and keep their plain average over batches, and over processes."""
    momenta = [bn.momentum for bn in branches]
    for bn in branches:
        bn.reset_running_stats()
        bn.momentum = None  # BatchNorm2d: a cumulative average
        bn.train()
    try:
        yield
    finally:
        for bn, momentum in zip(branches, momenta):
            bn.momentum = momentum
            bn.eval()
    if comm.get_world_size() > 1:
        for statistics in (tensor for bn in branches for tensor in (bn.running_mean, bn.running_var)):
            dist.all_reduce(statistics)
            statistics /= comm.get_world_size()


def _domain_loader(cfg, train_set, domain):
    items = [item for item, k in zip(train_set.img_items, train_set.domains) if k == domain]
    batch_size = cfg.SOLVER.IMS_PER_BATCH
    num_batches = min(len(items) // batch_size, cfg.TEST.PRECISE_BN.NUM_ITER)
    order = np.random.default_rng(domain).permutation(len(items))[: num_batches * batch_size or None]
    test_set = CommDataset([items[i] for i in order], build_transforms(cfg, is_train=False), relabel=True)
    loader, _ = build_reid_test_loader(
        test_set, test_batch_size=batch_size, num_query=0, num_workers=cfg.DATALOADER.NUM_WORKERS
    )
    return loader
