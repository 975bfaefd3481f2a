"""Patches of frozen layers: they stay frozen through a test, and a resumed run freezes them no longer."""

import functools
import math

from ..layers.eval_mode import evaluating
from .tools import rebind, source_has

STEPS = "steps_with_freezing"  # in the optimizer's first parameter group, and so in its state


def patch_freezing():
    """The optimizer counts the steps of FREEZE_ITERS from its creation: a resumed run freezes as many once more."""
    from fastreid.solver import build

    stock = build._generate_optimizer_class_with_freeze_layer

    @functools.wraps(stock)
    def with_freezing(optimizer, *, freeze_iters=0):
        frozen = stock(optimizer, freeze_iters=freeze_iters and math.inf)  # which always leaves frozen layers alone

        def step(self, closure=None):
            done = self.param_groups[0].get(STEPS, 0)
            self.param_groups[0][STEPS] = done + 1
            return (frozen if done < freeze_iters else optimizer).step(self, closure)

        return type(frozen.__name__, (frozen,), {"step": step})

    if source_has(stock, "nonlocal cnt"):
        build._generate_optimizer_class_with_freeze_layer = with_freezing


def patch_modes():
    """A test puts all of a model into the mode of its outermost module: frozen BN trains after it."""
    import fastreid.evaluation
    from fastreid.evaluation import evaluator

    if source_has(evaluator.inference_context, "model.train(training_mode)"):
        rebind("inference_context", evaluating, evaluator, fastreid.evaluation)
