"""Patches of fast-reid's training: optimizer, trainer, a batch's images, logged metrics."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import torch

from ..errors import UserError
from .tools import rebind, source_has


def patch_optimizer() -> None:
    """``zero_grad`` sets gradients to None, which detaches the flat buffers that the optimizer steps."""
    import fastreid.solver
    from fastreid.engine import defaults
    from fastreid.solver import build

    stock_build = build.build_optimizer

    @functools.wraps(stock_build)
    def build_optimizer(*args: Any, **kwargs: Any) -> Any:
        optimizer, params = stock_build(*args, **kwargs)
        zero_grad = optimizer.zero_grad
        optimizer.zero_grad = lambda set_to_none=False: zero_grad(set_to_none=False)
        return optimizer, params

    if not source_has(stock_build, "set_to_none"):
        rebind("build_optimizer", build_optimizer, build, fastreid.solver, defaults)


def patch_trainer() -> None:
    """AMP without CUDA fails at the first step, and ``OUTPUT_DIR`` is not created."""
    from fastreid.engine import DefaultTrainer

    stock_init = DefaultTrainer.__init__

    @functools.wraps(stock_init)
    def init(self: Any, cfg: Any) -> None:
        if cfg.SOLVER.AMP.ENABLED and not (torch.cuda.is_available() and cfg.MODEL.DEVICE.startswith("cuda")):
            raise UserError("SOLVER.AMP.ENABLED needs CUDA, which is not used here: set SOLVER.AMP.ENABLED False")
        if cfg.OUTPUT_DIR:
            os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)  # in stock, only default_setup creates it
        stock_init(self, cfg)

    DefaultTrainer.__init__ = init


def patch_preprocessing() -> None:
    """``preprocess_image`` normalises the batch in place: twice, if the model is called twice."""
    from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

    def on_a_copy(stock: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(stock)
        def preprocess_image(self: Any, batched_inputs: Any) -> Any:
            if isinstance(batched_inputs, torch.Tensor):
                return stock(self, batched_inputs.clone())
            return stock(self, {**batched_inputs, "images": batched_inputs["images"].clone()})

        return preprocess_image

    for meta_arch in META_ARCH_REGISTRY._obj_map.values():
        stock = vars(meta_arch).get("preprocess_image")
        if stock and source_has(stock, ".sub_("):
            meta_arch.preprocess_image = on_a_copy(stock)


def patch_events() -> None:
    """``metrics.json`` lacks the last test's results, and a resumed run of two iterations divides by zero."""
    from fastreid.engine.hooks import EvalHook, PeriodicWriter
    from fastreid.utils.events import CommonMetricPrinter, get_event_storage

    stock_eval, stock_close, stock_write = EvalHook._do_eval, PeriodicWriter.after_train, CommonMetricPrinter.write

    @functools.wraps(stock_eval)
    def do_eval(self: Any) -> None:
        # the metrics of the epoch's last step are written already, so these belong to the next one
        storage, step = self.trainer.storage, self.trainer.storage.iter
        storage.iter = self.trainer.iter
        try:
            stock_eval(self)
        finally:
            storage.iter = step

    @functools.wraps(stock_close)
    def after_train(self: Any) -> None:
        if hasattr(self.trainer.storage, "epoch"):  # missing if training fails before its first epoch
            self.after_epoch()
        stock_close(self)

    @functools.wraps(stock_write)
    def write(self: Any) -> None:
        if self._last_write is not None and self._last_write[0] == get_event_storage().iter:
            self._last_write = None
        stock_write(self)

    if not source_has(EvalHook, "storage.iter"):
        EvalHook._do_eval, PeriodicWriter.after_train = do_eval, after_train
    CommonMetricPrinter.write = write
