"""Patches of fastreid's training in half precision."""

import functools
import logging
import sys

import torch

from ..layers.running_statistics import copy_statistics, restore_statistics
from .tools import rebind, source_has

logger = logging.getLogger("fastreid.gdnorm.amp")

HALF = (torch.float16, torch.bfloat16)
SKIPPED_STEPS = 20  # in a row end the training; by then GradScaler has divided its scale by 2^20


def patch_distances():
    """Distances between features of norm 256 overflow in half precision, and a clamp hides it."""
    import fastreid.modeling.losses  # noqa: F401

    # looked up by name, as the package has functions named like these modules
    utils, triplet_loss = (sys.modules[f"fastreid.modeling.losses.{name}"] for name in ("utils", "triplet_loss"))
    stock = utils.euclidean_dist

    @functools.wraps(stock)
    def euclidean_dist(x, y):
        with torch.autocast(x.device.type, enabled=False):
            return stock(*(values.float() if values.dtype in HALF else values for values in (x, y)))

    if not source_has(stock, "float()"):
        rebind("euclidean_dist", euclidean_dist, utils, triplet_loss)


def patch_amp():
    """A loss that overflows ends the run, although GradScaler would skip the step."""
    from fastreid.engine.train_loop import AMPTrainer, SimpleTrainer

    stock_write, stock_step = AMPTrainer._write_metrics, AMPTrainer.run_step

    @functools.wraps(stock_write)
    def write_metrics(self, loss_dict, data_time):
        try:
            stock_write(self, loss_dict, data_time)
            self.skipped = 0
        except FloatingPointError as error:
            self.skipped += 1
            if self.skipped == SKIPPED_STEPS:
                raise
            logger.warning("%s\nGradScaler skips this step", error)

    @functools.wraps(stock_step)
    def run_step(self):
        # GradScaler undoes no running statistics; when it skips a step, its scale falls, and in all processes alike
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
