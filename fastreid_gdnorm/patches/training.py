"""Patches of fastreid's training: optimizer, trainer, images of a batch, logged metrics."""

import functools
import os

import torch

from ..errors import UserError
from .tools import rebind, source_has


def patch_optimizer():
    """Today's ``zero_grad`` sets gradients to None, which cuts off the flat buffers that the optimizer steps."""
    import fastreid.solver
    from fastreid.engine import defaults
    from fastreid.solver import build

    stock_build = build.build_optimizer

    @functools.wraps(stock_build)
    def build_optimizer(*args, **kwargs):
        optimizer, params = stock_build(*args, **kwargs)
        zero_grad = optimizer.zero_grad
        optimizer.zero_grad = lambda set_to_none=False: zero_grad(set_to_none=False)
        return optimizer, params

    if not source_has(stock_build, "set_to_none"):
        rebind("build_optimizer", build_optimizer, build, fastreid.solver, defaults)


def patch_trainer():
    """Half precision without CUDA fails in mid-run, and ``OUTPUT_DIR`` is not made."""
    from fastreid.engine import DefaultTrainer

    stock_init = DefaultTrainer.__init__

    @functools.wraps(stock_init)
    def init(self, cfg):
        if cfg.SOLVER.AMP.ENABLED and not (torch.cuda.is_available() and cfg.MODEL.DEVICE.startswith("cuda")):
            raise UserError("SOLVER.AMP.ENABLED needs CUDA, which is not used here: set SOLVER.AMP.ENABLED False")
        if cfg.OUTPUT_DIR:
            os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)  # only default_setup makes it
        stock_init(self, cfg)

    DefaultTrainer.__init__ = init


def patch_preprocessing():
    """``preprocess_image`` normalises the batch in place: twice, if the model is called twice."""
    from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

    def on_a_copy(stock):
        @functools.wraps(stock)
        def preprocess_image(self, batched_inputs):
            if isinstance(batched_inputs, torch.Tensor):
                return stock(self, batched_inputs.clone())
            return stock(self, {**batched_inputs, "images": batched_inputs["images"].clone()})

        return preprocess_image

    for meta_arch in META_ARCH_REGISTRY._obj_map.values():
        stock = vars(meta_arch).get("preprocess_image")
        if stock and source_has(stock, ".sub_("):
            meta_arch.preprocess_image = on_a_copy(stock)


def patch_events():
    """The last test's results do not reach ``metrics.json``; a resumed run of two iterations divides by zero."""
    from fastreid.engine.hooks import EvalHook, PeriodicWriter
    from fastreid.utils.events import CommonMetricPrinter, get_event_storage

    stock_eval, stock_close, stock_write = EvalHook._do_eval, PeriodicWriter.after_train, CommonMetricPrinter.write

    @functools.wraps(stock_eval)
    def do_eval(self):
        # the metrics of the epoch's last step are written already: these count as after it
        storage, step = self.trainer.storage, self.trainer.storage.iter
        storage.iter = self.trainer.iter
        try:
            stock_eval(self)
        finally:
            storage.iter = step

    @functools.wraps(stock_close)
    def after_train(self):
        if hasattr(self.trainer.storage, "epoch"):  # it has none if training fails before its first epoch
            self.after_epoch()
        stock_close(self)

    @functools.wraps(stock_write)
    def write(self):
        if self._last_write is not None and self._last_write[0] == get_event_storage().iter:
            self._last_write = None
        stock_write(self)

    if not source_has(EvalHook, "storage.iter"):
        EvalHook._do_eval, PeriodicWriter.after_train = do_eval, after_train
    CommonMetricPrinter.write = write
