"""Population statistics that fit the weights as they are, for tests and checkpoints alone."""

import logging

import torch
from fastreid.engine.hooks import HookBase

from ..layers import GaussianProcess, gdnorm_layers
from ..layers.eval_mode import evaluating
from ..layers.running_statistics import copy_statistics, restore_statistics
from .population_statistics import domain_loaders, estimate_branches, estimate_mean_path
from .storage import after_the_epoch

logger = logging.getLogger("fastreid.gdnorm.precise_bn")


class DomainPreciseBN(HookBase):
    """Estimates population statistics anew for every evaluation and checkpoint, and puts training's own back after it.

    In training these are running averages, which lag behind the weights; the mean path is made of them. Here they are
    averages over training images: a branch's over its domain's images, along the domain path; those of the mean path
    itself (MODEL.GDNORM.MEAN_OF path) and of BN without branches (any stock model's, a head's with MODEL.GDNORM.HEADS
    False) over as many images of every domain, along the mean path.

    Training goes on from its running statistics, which a checkpoint has as ``running_statistics`` beside the model;
    after the last epoch the estimated ones stay. After every epoch the hook also puts ``gaussian_process/var_a`` and
    ``.../var_b`` of the running statistics into the storage, means over layers of the variances of a and b (Eq. 10).

    Args:
        model: a stock model, or one with GDNorm.
        loaders: for every domain, a loader of its images in random order.
        pooled_loader: a loader with as many images of every domain in each batch, to within one.
        periods: it runs after the last epoch and each that one of these numbers divides; 0 divides none.
    """

    def __init__(self, model, loaders, pooled_loader, periods):
        self._model = model
        self._loaders = loaders
        self._pooled_loader = pooled_loader
        self._periods = [period for period in periods if period > 0]
        self._running = None  # training's statistics by name, while the estimated ones are in their place

    @classmethod
    def from_config(cls, cfg, trainer):
        """For SOLVER.HOOKS; see :func:`domain_loaders` for the images."""
        periods = (cfg.TEST.EVAL_PERIOD, cfg.SOLVER.CHECKPOINT_PERIOD)
        hook = cls(trainer.checkpointer.model, *domain_loaders(cfg, trainer.data_loader.dataset), periods)
        trainer.checkpointer.checkpointables["running_statistics"] = hook
        return hook

    def before_epoch(self):
        self._restore()

    @torch.no_grad()
    def after_epoch(self):
        if gdnorm_layers(self._model):
            var_a, var_b = GaussianProcess(self._model).spread()
            with after_the_epoch(self.trainer) as storage:
                storage.put_scalar("gaussian_process/var_a", var_a, smoothing_hint=False)
                storage.put_scalar("gaussian_process/var_b", var_b, smoothing_hint=False)
        done = self.trainer.epoch + 1
        if done == self.trainer.max_epoch or any(done % period == 0 for period in self._periods):
            self.update()

    def update(self):
        """Put statistics of the weights as they are in the place of the running ones; after an error these are back."""
        logger.info("Estimating the population statistics of %d domains", len(self._loaders))
        self._restore()
        self._running = copy_statistics(self._model)
        try:
            with evaluating(self._model):
                estimate_branches(self._model, self._loaders)
                estimate_mean_path(self._model, self._pooled_loader)
        except BaseException:
            self._restore()
            raise

    def state_dict(self):
        """For a checkpoint: the running statistics that training goes on from, if the model's are others."""
        return self._running or {}

    def load_state_dict(self, state):
        self._running = state or None

    def _restore(self):
        if self._running is not None:
            restore_statistics(self._model, self._running)
            self._running = None
