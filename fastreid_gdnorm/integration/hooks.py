"""The trainer's hooks: those of SOLVER.HOOKS, and what else a checkpoint needs for a resumed run."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

from fastreid.config import CfgNode
from fastreid.engine import DefaultTrainer
from fastreid.engine.hooks import EvalHook, PeriodicCheckpointer, PeriodicWriter
from fastreid.utils.events import JSONWriter

from ..config import completed
from ..errors import UserError
from ..modeling import GDNormTraining
from ..registries import HOOK_REGISTRY
from ..training.best_metric import BestMetric
from ..training.finite import Finite
from ..training.noise_watch import NoiseWatch
from ..training.reproducible import Reproducible
from ..training.untested import Untested, has_failed
from .bounded_ranking import is_bounded
from .seed import seed_of

logger = logging.getLogger("fastreid.gdnorm.hooks")


def connect() -> None:
    """Give the trainer the hooks of SOLVER.HOOKS, and with a SEED the hook that makes runs repeatable.

    A training that fails in its last epoch is not tested: with several processes, one would test and wait for the
    others. With TEST.EVAL_PERIOD 0, by which stock divides, there is one test, after the last epoch.

    Before a test, the model is checked for NaN and saved. A run resumed from that checkpoint begins with the test. The
    list of hooks ends as in stock, because trainers insert their own hooks by counting from the end.
    """
    stock_hooks = DefaultTrainer.build_hooks
    stock_before_train, stock_after_train = EvalHook.before_train, EvalHook.after_train

    @functools.wraps(stock_before_train)
    def before_train(self: Any) -> None:
        self.error_before = sys.exc_info()[1]  # an error that the caller is handling, not this training's
        stock_before_train(self)

    @functools.wraps(stock_after_train)
    def after_train(self: Any) -> None:
        if not has_failed(self):
            self._period = self._period or self.trainer.max_epoch + 1
            stock_after_train(self)

    @functools.wraps(stock_hooks)
    def build_hooks(self: Any) -> list[Any]:
        cfg = completed(self.cfg)
        is_bounded(cfg)  # raises for a wrong TEST.RANKING now rather than at the first test
        _check_mean_path(self, cfg)
        all_hooks = stock_hooks(self)
        seed = seed_of(cfg)
        reproducible = [] if seed is None else [Reproducible(seed, _metrics_writer(all_hooks))]
        # a trainer may have no EvalHook
        evaluation = next((hook for hook in all_hooks if isinstance(hook, EvalHook)), None)
        self._untested = evaluation and Untested(self, evaluation)
        _checkpoint_more(self, [*all_hooks, *reproducible])
        model = self.checkpointer.model
        watch = [NoiseWatch(model)] if isinstance(model, GDNormTraining) else []
        own = [HOOK_REGISTRY.get(name).from_config(cfg, self) for name in cfg.SOLVER.HOOKS]
        self._follows_hooks = True
        checkpoint = _index_of(all_hooks, PeriodicCheckpointer, len(all_hooks))
        before = _index_of(all_hooks, EvalHook, checkpoint)
        after = _index_of(all_hooks, EvalHook, checkpoint - 1) + 1
        tests = [Finite(), *all_hooks[before:after], *reproducible]
        return [*all_hooks[:before], *watch, *own, *tests, *all_hooks[after:]]

    DefaultTrainer.build_hooks = build_hooks
    for name in ("before_train", "after_epoch", "after_train"):
        setattr(DefaultTrainer, name, _with_untested(name))
    EvalHook.before_train, EvalHook.after_train = before_train, after_train


def _with_untested(name: str) -> Callable[[Any], None]:
    """The trainer's method ``name``, which calls its hooks, and then calls its Untested."""
    stock = getattr(DefaultTrainer, name)

    @functools.wraps(stock)
    def method(self: Any) -> None:
        stock(self)
        if getattr(self, "_untested", None):
            getattr(self._untested, name)()

    return method


def warn_of_ignored_keys(trainer: Any, cfg: CfgNode) -> None:
    """Warn of the keys that a trainer ignores because its build_hooks does not call fast-reid's."""
    if getattr(trainer, "_follows_hooks", False):
        return
    keys = ["SOLVER.HOOKS"] * bool(cfg.SOLVER.HOOKS) + ["SEED's reseeding at every epoch"] * (seed_of(cfg) is not None)
    if keys:
        name = type(trainer).__name__
        logger.warning("%s: ignored, because %s.build_hooks does not call fast-reid's", " and ".join(keys), name)


def _index_of(all_hooks: Sequence[Any], kind: Any, otherwise: int) -> int:
    """The index of the first hook of that kind, or ``otherwise``."""
    return next((index for index, hook in enumerate(all_hooks) if isinstance(hook, kind)), otherwise)


def _check_mean_path(trainer: Any, cfg: CfgNode) -> None:
    if getattr(trainer.checkpointer.model, "mean_of", None) == "path" and "DomainPreciseBN" not in cfg.SOLVER.HOOKS:
        raise UserError(
            "MODEL.GDNORM.MEAN_OF path needs the statistics that DomainPreciseBN takes: add it to SOLVER.HOOKS, "
            "as ('DomainPreciseBN',)"
        )


def _metrics_writer(all_hooks: Sequence[Any]) -> Any:
    """The JSONWriter of metrics.json, or None if another process writes it."""
    writers = [writer for hook in all_hooks if isinstance(hook, PeriodicWriter) for writer in hook._writers]
    return next((writer for writer in writers if isinstance(writer, JSONWriter)), None)


def _checkpoint_more(trainer: Any, all_hooks: Sequence[Any]) -> None:
    """Save in checkpoints what stock leaves out: AMP's scale, the metrics' history, the best metric so far."""
    checkpointables = trainer.checkpointer.checkpointables
    if trainer.grad_scaler is not None:
        checkpointables["grad_scaler"] = trainer.grad_scaler
    if trainer._untested:
        checkpointables["untested"] = trainer._untested
    for hook in all_hooks:
        if isinstance(hook, Reproducible):
            checkpointables["metrics_history"] = hook
        elif type(hook) is PeriodicCheckpointer:  # a subclass may define the best differently
            checkpointables["best_metric"] = BestMetric(hook)
