"""The seam at the trainer's hooks: those of SOLVER.HOOKS, and what a resumed training goes on with."""

import functools

from fastreid.engine import DefaultTrainer, hooks
from fastreid.utils.events import JSONWriter

from ..errors import UserError
from ..registries import HOOK_REGISTRY
from ..training.reproducible import Reproducible
from .ranking import is_bounded


def connect():
    """The trainer has the hooks of SOLVER.HOOKS, and with a SEED the one that makes runs repeatable."""
    stock_hooks = DefaultTrainer.build_hooks

    @functools.wraps(stock_hooks)
    def build_hooks(self):
        is_bounded(self.cfg)  # a mistake there would else show at the first test only
        all_hooks = stock_hooks(self)
        evaluation = next(i for i, hook in enumerate(all_hooks) if isinstance(hook, hooks.EvalHook))
        if self.cfg.SEED >= 0:
            all_hooks.insert(evaluation + 1, _reproducible(self, all_hooks))
        if getattr(self.model, "mean_of", None) == "path" and "DomainPreciseBN" not in self.cfg.SOLVER.HOOKS:
            raise UserError(
                "MODEL.GDNORM.MEAN_OF path takes its statistics by SOLVER.HOOKS ('DomainPreciseBN',): add it"
            )
        _keep(self, all_hooks)
        own = [HOOK_REGISTRY.get(name).from_config(self.cfg, self) for name in self.cfg.SOLVER.HOOKS]
        return all_hooks[:evaluation] + own + all_hooks[evaluation:]

    DefaultTrainer.build_hooks = build_hooks


def _reproducible(trainer, all_hooks):
    writers = [writer for hook in all_hooks if isinstance(hook, hooks.PeriodicWriter) for writer in hook._writers]
    metrics = next((writer for writer in writers if isinstance(writer, JSONWriter)), None)
    hook = Reproducible(trainer.cfg.SEED, metrics)
    trainer.checkpointer.checkpointables["metrics_history"] = hook
    return hook


def _keep(trainer, all_hooks):
    """What else a resumed training goes on with."""
    checkpointables = trainer.checkpointer.checkpointables
    if trainer.grad_scaler is not None:
        checkpointables["grad_scaler"] = trainer.grad_scaler
    for hook in all_hooks:
        if isinstance(hook, hooks.PeriodicCheckpointer):
            checkpointables["best_metric"] = _BestMetric(hook)


class _BestMetric:
    """The best metric so far of a PeriodicCheckpointer, for a checkpoint."""

    def __init__(self, hook):
        self._hook = hook

    def state_dict(self):
        best = self._hook.best_metric
        if hasattr(self._hook, "metric_name"):  # in training; the last checkpoint's own metric is still to be compared
            tested, _ = self._hook.trainer.storage.latest().get(self._hook.metric_name, (best, None))
            best = max(best, tested)
        return {"best_metric": best}

    def load_state_dict(self, state):
        self._hook.best_metric = state["best_metric"]
