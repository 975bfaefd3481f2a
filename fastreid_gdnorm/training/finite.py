"""Training that has diverged is not saved."""

import torch
from fastreid.engine.hooks import HookBase


class Finite(HookBase):
    """Ends the training after an epoch that has left NaN in the model, before it is tested or saved.

    Tensors that held NaN when the training began may go on doing so.

    Raises:
        FloatingPointError: as stock's trainer does for a loss that is NaN.
    """

    def __init__(self):
        self._before = set()

    def before_train(self):
        self._before = set(self._with_nan())

    def after_epoch(self):
        broken = [name for name in self._with_nan() if name not in self._before]
        if broken:
            raise FloatingPointError(f"{len(broken)} of the model's tensors hold NaN, first {broken[0]}")

    def _with_nan(self):
        checkpointer = self.trainer.checkpointer
        states = [checkpointer.model.state_dict()]
        if "running_statistics" in checkpointer.checkpointables:
            states.append(checkpointer.checkpointables["running_statistics"].state_dict())
        return [
            name
            for state in states
            for name, value in state.items()
            if isinstance(value, torch.Tensor) and value.is_floating_point() and value.isnan().any()
        ]
