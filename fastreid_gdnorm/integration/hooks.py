"""The seam at the trainer's hooks: those of SOLVER.HOOKS, and what else a resumed training goes on from."""

import functools
import logging
import sys

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


def connect():
    """The trainer has the hooks of SOLVER.HOOKS, and with a SEED the one that makes runs repeatable.

    A training that fails in its last epoch is not tested, as no earlier one is: of several processes one would test,
    and wait for the others. With TEST.EVAL_PERIOD 0, by which stock divides, it is tested after the last epoch.

    What a test looks at is finite, and on disk before the test begins; a run that is resumed from there begins with the
    test. The list of hooks ends as stock's does, as trainers count from there to put in hooks of their own.
    """
    stock_hooks = DefaultTrainer.build_hooks
    stock_before_train, stock_after_train = EvalHook.before_train, EvalHook.after_train

    @functools.wraps(stock_before_train)
    def before_train(self):
        self.error_before = sys.exc_info()[1]  # which the caller is handling, and is not this training's
        stock_before_train(self)

    @functools.wraps(stock_after_train)
    def after_train(self):
        if not has_failed(self):
            self._period = self._period or self.trainer.max_epoch + 1
            stock_after_train(self)

    @functools.wraps(stock_hooks)
    def build_hooks(self):
        cfg = completed(self.cfg)
        is_bounded(cfg)  # so that a mistake there does not wait for the first test
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
        checkpoint = _place(all_hooks, PeriodicCheckpointer, len(all_hooks))
        before = _place(all_hooks, EvalHook, checkpoint)
        after = _place(all_hooks, EvalHook, checkpoint - 1) + 1
        tests = [Finite(), *all_hooks[before:after], *reproducible]
        return [*all_hooks[:before], *watch, *own, *tests, *all_hooks[after:]]

    DefaultTrainer.build_hooks = build_hooks
    for name in ("before_train", "after_epoch", "after_train"):
        setattr(DefaultTrainer, name, _with_untested(name))
    EvalHook.before_train, EvalHook.after_train = before_train, after_train


def _with_untested(name):
    """The trainer's method ``name``, by which it calls that of its hooks, and now that of its Untested after them."""
    stock = getattr(DefaultTrainer, name)

    @functools.wraps(stock)
    def method(self):
        stock(self)
        if getattr(self, "_untested", None):
            getattr(self._untested, name)()

    return method


def warn_of_ignored_keys(trainer, cfg):
    """Warn of the keys that a trainer ignores because its build_hooks does not call fast-reid's."""
    if getattr(trainer, "_follows_hooks", False):
        return
    asked = ["SOLVER.HOOKS"] * bool(cfg.SOLVER.HOOKS) + ["SEED beyond the start"] * (seed_of(cfg) is not None)
    if asked:
        name = type(trainer).__name__
        logger.warning("%s: not followed, as %s.build_hooks does not call fast-reid's", " and ".join(asked), name)


def _place(all_hooks, kind, otherwise):
    """The place of the first hook of that kind."""
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
    if trainer._untested:
        checkpointables["untested"] = trainer._untested
    for hook in all_hooks:
        if isinstance(hook, Reproducible):
            checkpointables["metrics_history"] = hook
        elif type(hook) is PeriodicCheckpointer:  # a class of somebody else's may mean another best
            checkpointables["best_metric"] = BestMetric(hook)
