"""Ends a diverged training before its model is tested or saved."""

from __future__ import annotations

from fastreid.engine.hooks import HookBase

from ..layers.running_statistics import copy_statistics


class Finite(HookBase):
    """Ends the training if an epoch leaves NaN in weights or statistics, before they are tested or saved.

    Tensors that held NaN before training are ignored, and so are other buffers.

    Raises:
        FloatingPointError: as stock's trainer raises for a loss that is NaN.
    """

    def __init__(self) -> None:
        self._before: set[str] = set()

    def before_train(self) -> None:
        self._before = set(self._with_nan())

    def after_epoch(self) -> None:
        broken = [name for name in self._with_nan() if name not in self._before]
        if broken:
            raise FloatingPointError(f"{len(broken)} of the model's tensors contain NaN; the first is {broken[0]}")

    def _with_nan(self) -> list[str]:
        checkpointer = self.trainer.checkpointer
        states = [dict(checkpointer.model.named_parameters()), copy_statistics(checkpointer.model)]
        if "running_statistics" in checkpointer.checkpointables:
            states.append(checkpointer.checkpointables["running_statistics"].state_dict())
        return [
            name
            for state in states
            for name, value in state.items()
            if value.is_floating_point() and value.isnan().any()
        ]
