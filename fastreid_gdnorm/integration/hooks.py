"""The seam at the trainer's hooks: those of SOLVER.HOOKS, and what else a resumed training goes on from."""

import functools

from fastreid.engine import DefaultTrainer, hooks
from fastreid.utils.events import JSONWriter

from ..errors import UserError
from ..registries import HOOK_REGISTRY
from ..training.best_metric import BestMetric
from ..training.reproducible import Reproducible
from .ranking import is_bounded


def connect():
    """The trainer has the hooks of SOLVER.HOOKS, and with a SEED the one that makes runs repeatable.

    A training that fails in its last epoch is not tested, as no earlier one is: of several processes one would test,
    and wait for the others.
    """
    stock_hooks, stock_after_train = DefaultTrainer.build_hooks, hooks.EvalHook.after_train

    @functools.wraps(stock_after_train)
    def after_train(self):
        if self.trainer.iter >= self.trainer.max_iter:
            stock_after_train(self)

    @functools.wraps(stock_hooks)
    def build_hooks(self):
        is_bounded(self.cfg)  # so that a mistake there does not wait for the first test
        _check_mean_path(self)
        all_hooks = stock_hooks(self)
        evaluation = next(i for i, hook in enumerate(all_hooks) if isinstance(hook, hooks.EvalHook))
        if self.cfg.SEED >= 0:
            all_hooks.insert(evaluation + 1, Reproducible(self.cfg.SEED, _metrics_writer(all_hooks)))
        _checkpoint_more(self, all_hooks)
        own = [HOOK_REGISTRY.get(name).from_config(self.cfg, self) for name in self.cfg.SOLVER.HOOKS]
        return all_hooks[:evaluation] + own + all_hooks[evaluation:]

    DefaultTrainer.build_hooks, hooks.EvalHook.after_train = build_hooks, after_train


def _check_mean_path(trainer):
    if (
        getattr(trainer.checkpointer.model, "mean_of", None) == "path"
        and "DomainPreciseBN" not in trainer.cfg.SOLVER.HOOKS
    ):
        raise UserError("MODEL.GDNORM.MEAN_OF path takes its statistics by SOLVER.HOOKS ('DomainPreciseBN',): add it")


def _metrics_writer(all_hooks):
    """The JSONWriter of metrics.json; None where another process writes."""
    writers = [writer for hook in all_hooks if isinstance(hook, hooks.PeriodicWriter) for writer in hook._writers]
    return next((writer for writer in writers if isinstance(writer, JSONWriter)), None)


def _checkpoint_more(trainer, all_hooks):
    """Put into checkpoints what stock leaves out: AMP's scale, the metrics to smooth over, the best metric so far."""
    checkpointables = trainer.checkpointer.checkpointables
    if trainer.grad_scaler is not None:
        checkpointables["grad_scaler"] = trainer.grad_scaler
    for hook in all_hooks:
        if isinstance(hook, Reproducible):
            checkpointables["metrics_history"] = hook
        elif isinstance(hook, hooks.PeriodicCheckpointer):
            checkpointables["best_metric"] = BestMetric(hook)
