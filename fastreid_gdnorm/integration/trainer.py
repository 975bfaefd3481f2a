"""The seam at fast-reid's trainer: how many processes may train, and from which statistics a resumed run goes on."""

import functools
import os

from fastreid.engine import DefaultTrainer
from fastreid.utils import comm

from ..errors import UserError
from ..layers import put_statistics
from ..modeling import is_gdnorm
from ..modeling.path_names import posterior_place


def connect():
    """A training in several processes that would silently go wrong is refused; tests in them are not.

    A run resumed without DomainPreciseBN goes on from the running statistics that the hook has put into its checkpoint.
    """
    stock_init, stock_resume = DefaultTrainer.__init__, DefaultTrainer.resume_or_load

    @functools.wraps(stock_init)
    def init(self, cfg):
        _check_processes(cfg)
        _check_test_path(cfg)
        stock_init(self, cfg)

    @functools.wraps(stock_resume)
    def resume_or_load(self, resume=True):
        checkpointables = self.checkpointer.checkpointables
        if "running_statistics" in checkpointables:  # of DomainPreciseBN, which puts them back itself
            stock_resume(self, resume)
            return
        running = checkpointables["running_statistics"] = _FromCheckpoint()
        try:
            stock_resume(self, resume)
        finally:
            del checkpointables["running_statistics"]
        if self.start_epoch < self.max_epoch:
            put_statistics(self.checkpointer.model, running.state)

    DefaultTrainer.__init__, DefaultTrainer.resume_or_load = init, resume_or_load


class _FromCheckpoint:
    """Takes what a checkpoint has for it, as ``state``; {} if it has nothing."""

    def __init__(self):
        self.state = {}

    def load_state_dict(self, state):
        self.state = state


def _check_test_path(cfg):
    """Raise UserError where tests in between would go along a path through another checkpoint."""
    if is_gdnorm(cfg) and posterior_place(cfg.MODEL.GDNORM.TEST_PATH):
        raise UserError(
            f"MODEL.GDNORM.TEST_PATH {cfg.MODEL.GDNORM.TEST_PATH} is a path through a trained checkpoint: train with "
            "mean, then fastreid adapt"
        )


def _check_processes(cfg):
    """Raise UserError if processes would train a model with GDNorm together, or know nothing of each other."""
    processes = comm.get_world_size()
    if processes > 1 and is_gdnorm(cfg):
        raise UserError(
            f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE} trains in one process, not in {processes}: use "
            "--num-gpus 1 --num-machines 1 (a stock model, such as Baseline, may use several)"
        )
    for variable in ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):  # of torchrun and of srun
        started = int(os.environ.get(variable) or 1)
        if processes == 1 and started > 1:
            raise UserError(
                f"{variable} is {started}, but the processes do not know each other: each would train a network of its "
                "own in the same OUTPUT_DIR. Start one process (--num-gpus N lets a stock model use several GPUs)"
            )
