"""A checkpoint saved before each test, so that an error or a kill during the test does not lose the epoch."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Mapping
from typing import Any

from fastreid.engine.hooks import PeriodicCheckpointer

NAME = "model_untested"


def has_failed(evaluation: Any) -> bool:
    """Whether an error is ending this training.

    An error that the caller was already handling when ``evaluation`` saw the training start does not count.
    """
    return sys.exc_info()[1] is not getattr(evaluation, "error_before", None)


class Untested:
    """Saves model_untested.pth before every test; a run resumed from it starts with that test.

    Once the test and the hooks after it have finished, the file is removed. The last checkpoint is then the one that
    this epoch saved, if any, and otherwise the previous one.

    In every process, the trainer lists this object among its checkpointables and calls it as a hook, after all others.

    Args:
        trainer: a DefaultTrainer that already has its checkpointer.
        evaluation: its EvalHook.
    """

    def __init__(self, trainer: Any, evaluation: Any) -> None:
        self.is_pending = False  # whether the loaded checkpoint still has to be tested
        self.trainer: Any = weakref.proxy(trainer)  # as in other hooks
        self._checkpointer, self._evaluation = trainer.checkpointer, evaluation
        self._is_saving = False
        self._previous = ""  # the file name of the last checkpoint before this one
        test = evaluation._do_eval

        def save_and_test() -> None:
            self._save()
            test()

        evaluation._do_eval = save_and_test

    def before_train(self) -> None:
        """Finish the epoch of a loaded model_untested.pth: run its test and the hooks after it."""
        if not self.is_pending:
            return
        trainer = self.trainer
        trainer.epoch = trainer.storage.epoch = trainer.start_epoch - 1
        trainer.storage.iter = trainer.start_iter - 1  # the epoch's last step
        for hook in trainer._hooks[trainer._hooks.index(self._evaluation) :]:
            hook.after_epoch()
        self.after_epoch()
        self.is_pending = False

    def after_epoch(self) -> None:
        self._remove()

    def after_train(self) -> None:
        if not has_failed(self._evaluation):
            self._remove()

    def state_dict(self) -> dict[str, bool]:
        return {"is_pending": self._is_saving}

    def load_state_dict(self, state: Mapping[str, bool]) -> None:
        self.is_pending = state["is_pending"]

    def _save(self) -> None:
        if not any(isinstance(hook, PeriodicCheckpointer) for hook in self.trainer._hooks):
            return  # only the main process saves, and only if the trainer saves checkpoints
        if self._last() != f"{NAME}.pth":
            self._previous = self._last()
        self._is_saving = True
        try:
            self._checkpointer.save(NAME, epoch=self.trainer.epoch)
        finally:
            self._is_saving = False

    def _remove(self) -> None:
        file = os.path.join(self._checkpointer.save_dir, f"{NAME}.pth")
        if not self._checkpointer.save_to_disk or not os.path.isfile(file):
            return
        if self._last() == f"{NAME}.pth" and self._previous:
            self._checkpointer.tag_last_checkpoint(self._previous)
        if self._last() != f"{NAME}.pth":  # keep the file if no other checkpoint exists
            os.remove(file)

    def _last(self) -> str:
        return str(os.path.basename(self._checkpointer.get_checkpoint_file()))
