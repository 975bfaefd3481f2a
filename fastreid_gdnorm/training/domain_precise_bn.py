"""Population statistics that match the current weights, used only for tests and checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from fastreid.config import CfgNode
from fastreid.engine.hooks import HookBase
from torch import Tensor, nn

from ..layers import GaussianProcess, gdnorm_layers
from ..layers.eval_mode import evaluating
from ..layers.running_statistics import copy_statistics, restore_statistics
from .population_statistics import domain_loaders, estimate_branches, estimate_mean_path
from .storage import after_the_epoch

logger = logging.getLogger("fastreid.gdnorm.precise_bn")


class DomainPreciseBN(HookBase):
    """Re-estimates population statistics for every evaluation and checkpoint, then restores the running statistics.

    During training, the running averages lag behind the weights, and the mean path is built from them. This hook
    replaces them with averages over training images:

    - a branch gets the average over its own domain's images, along the domain path;
    - the mean path's own statistics (MODEL.GDNORM.MEAN_OF path) and BN without branches (all BN of a stock model, the
      head's BN with MODEL.GDNORM.HEADS False) get the average over equally many images of every domain, along the
      mean path.

    Training continues with its running statistics. A checkpoint stores them as ``running_statistics`` beside the
    model. After the last epoch, the estimated statistics stay in the model.

    After every epoch, the hook also logs ``gaussian_process/var_a`` and ``gaussian_process/var_b``: the variances of
    a and b (Eq. 10) under the running statistics, averaged over layers.

    Args:
        model: a stock model, or one with GDNorm.
        loaders: one loader for each domain, which yields its images in random order.
        pooled_loader: a loader whose batches have equally many images of every domain, to within one.
        periods: the hook runs after the last epoch and after every epoch that is a multiple of one of these numbers;
            it ignores 0.
    """

    def __init__(
        self, model: nn.Module, loaders: Sequence[Iterable[Any]], pooled_loader: Iterable[Any], periods: Iterable[int]
    ) -> None:
        self._model = model
        self._loaders = loaders
        self._pooled_loader = pooled_loader
        self._periods = [period for period in periods if period > 0]
        # {name: running statistics}, while the model holds the estimated ones
        self._running: Mapping[str, Tensor] | None = None

    @classmethod
    def from_config(cls, cfg: CfgNode, trainer: Any) -> DomainPreciseBN:
        """Build the hook for SOLVER.HOOKS, with the images of :func:`domain_loaders`."""
        periods = (cfg.TEST.EVAL_PERIOD, cfg.SOLVER.CHECKPOINT_PERIOD)
        hook = cls(trainer.checkpointer.model, *domain_loaders(cfg, trainer.data_loader.dataset), periods)
        trainer.checkpointer.checkpointables["running_statistics"] = hook
        return hook

    def before_epoch(self) -> None:
        self._restore()

    @torch.no_grad()
    def after_epoch(self) -> None:
        if gdnorm_layers(self._model):
            var_a, var_b = GaussianProcess(self._model).spread()
            with after_the_epoch(self.trainer) as storage:
                storage.put_scalar("gaussian_process/var_a", var_a, smoothing_hint=False)
                storage.put_scalar("gaussian_process/var_b", var_b, smoothing_hint=False)
        done = self.trainer.epoch + 1
        if done == self.trainer.max_epoch or any(done % period == 0 for period in self._periods):
            self.update()

    def update(self) -> None:
        """Replace the running statistics with estimates for the current weights; an error restores them."""
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

    def state_dict(self) -> Mapping[str, Tensor]:
        """The running statistics to continue training with; empty if the model holds them itself."""
        return self._running or {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._running = state or None

    def _restore(self) -> None:
        if self._running is not None:
            restore_statistics(self._model, self._running)
            self._running = None
