"""Patches of training in half precision."""

from __future__ import annotations

import functools
import logging
import sys
from typing import Any

import torch
from torch import Tensor

from ..layers.running_statistics import copy_statistics, restore_statistics
from .tools import rebind, source_has

logger = logging.getLogger("fastreid.gdnorm.amp")

HALF = (torch.float16, torch.bfloat16)
SKIPPED_STEPS = 20  # in a row, after which training ends; GradScaler has then divided its scale by 2^20


def patch_distances() -> None:
    """Distances between features of norm 256 overflow in half precision, and a clamp hides it."""
    import fastreid.modeling.losses  # noqa: F401

    # the package has functions with the names of these modules, which hide them from an import
    utils, triplet_loss = (sys.modules[f"fastreid.modeling.losses.{name}"] for name in ("utils", "triplet_loss"))
    stock: Any = vars(utils)["euclidean_dist"]

    @functools.wraps(stock)
    def euclidean_dist(x: Tensor, y: Tensor) -> Any:
        with torch.autocast(x.device.type, enabled=False):
            return stock(*(values.float() if values.dtype in HALF else values for values in (x, y)))

    if not source_has(stock, "float()"):
        rebind("euclidean_dist", euclidean_dist, utils, triplet_loss)


def patch_amp() -> None:
    """A loss that overflows ends the run, although GradScaler would skip the step."""
    from fastreid.engine.train_loop import AMPTrainer, SimpleTrainer

    stock_write, stock_step = AMPTrainer._write_metrics, AMPTrainer.run_step

    @functools.wraps(stock_write)
    def write_metrics(self: Any, loss_dict: dict[str, Tensor], data_time: float) -> None:
        try:
            stock_write(self, loss_dict, data_time)
            self.skipped = 0
        except FloatingPointError as error:
            self.skipped += 1
            if self.skipped == SKIPPED_STEPS:
                raise
            logger.warning("%s\nGradScaler skips this step", error)

    @functools.wraps(stock_step)
    def run_step(self: Any) -> None:
        # GradScaler skips the weights' step but keeps the running statistics; then its scale falls, in every process
        before, scale = copy_statistics(self.model), self.grad_scaler.get_scale()
        try:
            stock_step(self)
        except FloatingPointError:
            restore_statistics(self.model, before)
            raise
        if self.grad_scaler.get_scale() < scale:
            restore_statistics(self.model, before)

    if source_has(SimpleTrainer._write_metrics, "raise FloatingPointError"):
        AMPTrainer.skipped = 0
        AMPTrainer._write_metrics, AMPTrainer.run_step = write_metrics, run_step
