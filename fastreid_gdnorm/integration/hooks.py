"""The seam at the trainer's hooks: those of SOLVER.HOOKS, and what else a resumed training goes on from."""

import functools
import sys

from fastreid.engine import DefaultTrainer
from fastreid.engine.hooks import EvalHook, PeriodicCheckpointer, PeriodicWriter
from fastreid.utils.events import JSONWriter

from ..config import completed
from ..errors import UserError
from ..registries import HOOK_REGISTRY
from ..training.best_metric import BestMetric
from ..training.finite import Finite
from ..training.reproducible import Reproducible
from ..training.untested import Untested
from .ranking import is_bounded
from .seed import seed_of


def connect():
    """The trainer has the hooks of SOLVER.HOOKS, and with a SEED the one that makes runs repeatable.

    A training that fails in its last epoch is not tested, as no earlier one is: of several processes one would test,
    and wait for the others. With TEST.EVAL_PERIOD 0, by which stock divides, it is tested after the last epoch.

    What a test looks at is finite, and on disk before the test begins; a run that is resumed from there begins with the
    test.
    """
    stock_hooks, stock_begin = DefaultTrainer.build_hooks, DefaultTrainer.before_train
    stock_before_train, stock_after_train = EvalHook.before_train, EvalHook.after_train

    @functools.wraps(stock_begin)
    def begin(self):
        stock_begin(self)
        for hook in self._hooks:
            if isinstance(hook, Untested):
                hook.finish_epoch()

    @functools.wraps(stock_before_train)
    def before_train(self):
        self._error = sys.exc_info()[1]  # of whoever trains again after it
        stock_before_train(self)

    @functools.wraps(stock_after_train)
    def after_train(self):
        if sys.exc_info()[1] is getattr(self, "_error", None):
            self._period = self._period or self.trainer.max_epoch + 1
            stock_after_train(self)

    @functools.wraps(stock_hooks)
    def build_hooks(self):
        cfg = completed(self.cfg)
        is_bounded(cfg)  # so that a mistake there does not wait for the first test
        _check_mean_path(self, cfg)
        all_hooks = stock_hooks(self)
        evaluation = _place(all_hooks, EvalHook, _place(all_hooks, PeriodicCheckpointer, len(all_hooks)))
        if (seed := seed_of(cfg)) is not None:
            all_hooks.insert(evaluation + 1, Reproducible(seed, _metrics_writer(all_hooks)))
        if any(isinstance(hook, EvalHook) for hook in all_hooks):
            all_hooks.append(Untested(self.checkpointer, all_hooks[evaluation]))
        _checkpoint_more(self, all_hooks)
        own = [HOOK_REGISTRY.get(name).from_config(cfg, self) for name in cfg.SOLVER.HOOKS]
        return [*all_hooks[:evaluation], *own, Finite(), *all_hooks[evaluation:]]

    DefaultTrainer.build_hooks, DefaultTrainer.before_train = build_hooks, begin
    EvalHook.before_train, EvalHook.after_train = before_train, after_train


def _place(all_hooks, kind, otherwise):
    """The place of the first hook of that kind; a trainer may have none."""
    return next((place for place, hook in enumerate(all_hooks) if isinstance(hook, kind)), otherwise)


def _check_mean_path(trainer, cfg):
    if getattr(trainer.checkpointer.model, "mean_of", None) == "path" and "DomainPreciseBN" not in cfg.SOLVER.HOOKS:
        raise UserError("MODEL.GDNORM.MEAN_OF path takes its statistics by SOLVER.HOOKS ('DomainPreciseBN',): add it")


def _metrics_writer(all_hooks):
    """The JSONWriter of metrics.json; None where another process writes."""
    writers = [writer for hook in all_hooks if isinstance(hook, PeriodicWriter) for writer in hook._writers]
    return next((writer for writer in writers if isinstance(writer, JSONWriter)), None)


def _checkpoint_more(trainer, all_hooks):
    """Put into checkpoints what stock leaves out: AMP's scale, the metrics to smooth over, the best metric so far."""
    checkpointables = trainer.checkpointer.checkpointables
    if trainer.grad_scaler is not None:
        checkpointables["grad_scaler"] = trainer.grad_scaler
    for hook in all_hooks:
        if isinstance(hook, Reproducible):
            checkpointables["metrics_history"] = hook
        elif isinstance(hook, Untested):
            checkpointables["untested"] = hook
        elif type(hook) is PeriodicCheckpointer:  # a class of somebody else's may mean another best
            checkpointables["best_metric"] = BestMetric(hook)
