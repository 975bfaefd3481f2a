"""Patches of frozen layers: a test does not unfreeze them, and a resumed run does not freeze them for longer."""

from __future__ import annotations

import functools
import math
from typing import Any

from ..layers.eval_mode import evaluating
from .tools import rebind, source_has

STEPS = "steps_with_freezing"  # a key of the optimizer's first parameter group, and so of its state


def patch_freezing() -> None:
    """The optimizer counts the steps of FREEZE_ITERS from its creation, so a resumed run freezes for as many again."""
    from fastreid.solver import build

    stock = build._generate_optimizer_class_with_freeze_layer

    @functools.wraps(stock)
    def with_freezing(optimizer: Any, *, freeze_iters: int = 0) -> Any:
        frozen = stock(optimizer, freeze_iters=freeze_iters and math.inf)  # this one never unfreezes

        def step(self: Any, closure: Any = None) -> Any:
            done = self.param_groups[0].get(STEPS, 0)
            self.param_groups[0][STEPS] = done + 1
            return (frozen if done < freeze_iters else optimizer).step(self, closure)

        return type(frozen.__name__, (frozen,), {"step": step})

    if source_has(stock, "nonlocal cnt"):
        build._generate_optimizer_class_with_freeze_layer = with_freezing


def patch_modes() -> None:
    """A test puts every layer into the mode of the whole model, so frozen BN trains after it."""
    import fastreid.evaluation
    from fastreid.evaluation import evaluator

    if source_has(evaluator.inference_context, "model.train(training_mode)"):
        rebind("inference_context", evaluating, evaluator, fastreid.evaluation)
