"""The checkpoint of an epoch whose test has not ended: an error in a test, or a kill, does not lose the epoch."""

import os
import sys
import weakref

from fastreid.engine.hooks import PeriodicCheckpointer

NAME = "model_untested"


def has_failed(evaluation):
    """Whether an error is ending the training, rather than one that was handled when ``evaluation`` saw it begin."""
    return sys.exc_info()[1] is not getattr(evaluation, "error_before", None)


class Untested:
    """Saves model_untested.pth before every test, and has a resumed run begin with the test that did not end.

    The file goes, and the former checkpoint is the last again, once all that follows the test is done; where a
    checkpoint of the epoch is saved then, that one is the last.

    The trainer has it among its checkpointables, in every process, and calls it as a hook, after all of its hooks.

    Args:
        trainer: a DefaultTrainer that has its checkpointer already.
        evaluation: its EvalHook.
    """

    def __init__(self, trainer, evaluation):
        self.is_pending = False  # whether the checkpoint that was loaded lacks its test
        self.trainer = weakref.proxy(trainer)  # as hooks have it
        self._checkpointer, self._evaluation = trainer.checkpointer, evaluation
        self._is_saving = False
        self._former = ""  # the name of the last checkpoint before
        test = evaluation._do_eval

        def save_and_test():
            self._save()
            test()

        evaluation._do_eval = save_and_test

    def before_train(self):
        """Do what an epoch that was resumed from such a checkpoint still lacks."""
        if not self.is_pending:
            return
        trainer = self.trainer
        trainer.epoch = trainer.storage.epoch = trainer.start_epoch - 1
        trainer.storage.iter = trainer.start_iter - 1  # as after the epoch's last step
        for hook in trainer._hooks[trainer._hooks.index(self._evaluation) :]:
            hook.after_epoch()
        self.after_epoch()
        self.is_pending = False

    def after_epoch(self):
        self._remove()

    def after_train(self):
        if not has_failed(self._evaluation):
            self._remove()

    def state_dict(self):
        return {"is_pending": self._is_saving}

    def load_state_dict(self, state):
        self.is_pending = state["is_pending"]

    def _save(self):
        if not any(isinstance(hook, PeriodicCheckpointer) for hook in self.trainer._hooks):
            return  # of other processes than the main one, and of a trainer that saves nothing
        if self._last() != f"{NAME}.pth":
            self._former = self._last()
        self._is_saving = True
        try:
            self._checkpointer.save(NAME, epoch=self.trainer.epoch)
        finally:
            self._is_saving = False

    def _remove(self):
        file = os.path.join(self._checkpointer.save_dir, f"{NAME}.pth")
        if not self._checkpointer.save_to_disk or not os.path.isfile(file):
            return
        if self._last() == f"{NAME}.pth" and self._former:
            self._checkpointer.tag_last_checkpoint(self._former)
        if self._last() != f"{NAME}.pth":  # without a former one it stays
            os.remove(file)

    def _last(self):
        return os.path.basename(self._checkpointer.get_checkpoint_file())
