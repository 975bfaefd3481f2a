"""Training that has diverged is not saved."""

from fastreid.engine.hooks import HookBase

from ..layers.running_statistics import copy_statistics


class Finite(HookBase):
    """Ends the training after an epoch that has left NaN in weights or statistics, before these are tested or saved.

    Those that held NaN when the training began may go on doing so, and so may other buffers, of whatever they are.

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
        states = [dict(checkpointer.model.named_parameters()), copy_statistics(checkpointer.model)]
        if "running_statistics" in checkpointer.checkpointables:
            states.append(checkpointer.checkpointables["running_statistics"].state_dict())
        return [
            name
            for state in states
            for name, value in state.items()
            if value.is_floating_point() and value.isnan().any()
        ]
