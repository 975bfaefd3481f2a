"""The seam at fast-reid's trainers: what several processes train, from which statistics a resumed run goes on, and by
what half precision's losses are multiplied."""

import functools
import logging

import torch
from fastreid.engine import DefaultTrainer
from fastreid.engine.train_loop import AMPTrainer
from fastreid.utils import comm

from ..config import completed
from ..errors import UserError
from ..layers.running_statistics import restore_statistics
from ..modeling import GDNormTraining
from ..runs.settings import Settings
from .allocator import set_allocator
from .before_training import check_before_training, check_schedule
from .hooks import warn_of_ignored_keys
from .seed import seed_random_numbers

logger = logging.getLogger("fastreid.gdnorm.trainer")


def connect():
    """Several processes are told in what they differ from one, and from those that began the run.

    A run resumed without DomainPreciseBN goes on from the running statistics that the hook has put into its checkpoint.
    In half precision GDNorm learns GradScaler's scale, at which it takes its early gradients.
    """
    stock_init, stock_resume = DefaultTrainer.__init__, DefaultTrainer.resume_or_load
    stock_step, stock_scheduler = AMPTrainer.run_step, DefaultTrainer.build_lr_scheduler.__func__

    @functools.wraps(stock_init)
    def init(self, cfg):
        cfg = completed(cfg)
        set_allocator(cfg)
        check_before_training(type(self), cfg)
        seed_random_numbers(cfg)
        stock_init(self, cfg)  # as patches/ has repaired it
        self.checkpointer.checkpointables = {
            "settings": Settings(cfg),  # first, as what is loaded after it may not fit where these do not
            **self.checkpointer.checkpointables,
            "optimizer": _FittingOptimizer(self._trainer.optimizer),
            "processes": _Number(comm.get_world_size()),
        }
        warn_of_ignored_keys(self, cfg)

    @functools.wraps(stock_scheduler)
    def build_lr_scheduler(cls, cfg, optimizer, iters_per_epoch):
        check_schedule(cfg.SOLVER, iters_per_epoch)
        return stock_scheduler(cls, cfg, optimizer, iters_per_epoch)

    @functools.wraps(stock_resume)
    def resume_or_load(self, resume=True):
        checkpointables = self.checkpointer.checkpointables
        if "running_statistics" in checkpointables:  # of DomainPreciseBN, which puts them back itself
            stock_resume(self, resume)
        else:
            running = checkpointables["running_statistics"] = _FromCheckpoint()
            try:
                stock_resume(self, resume)
            finally:
                del checkpointables["running_statistics"]
            if self.start_epoch < self.max_epoch:
                restore_statistics(self.checkpointer.model, running.state)
        epochs = comm.all_gather(self.start_epoch)
        if len(set(epochs)) > 1:
            raise UserError(
                f"processes begin with the epochs {', '.join(map(str, epochs))}, by rank: OUTPUT_DIR "
                f"{self.cfg.OUTPUT_DIR} has to be one folder that all machines share"
            )

    @functools.wraps(stock_step)
    def run_step(self):
        model = getattr(self.model, "module", self.model)  # of DistributedDataParallel
        if not isinstance(model, GDNormTraining):
            return stock_step(self)
        model.loss_scale = self.grad_scaler.get_scale()
        try:
            return stock_step(self)
        finally:
            model.loss_scale = None

    DefaultTrainer.__init__, DefaultTrainer.resume_or_load = init, resume_or_load
    DefaultTrainer.build_lr_scheduler, AMPTrainer.run_step = classmethod(build_lr_scheduler), run_step


class _Number:
    """Of processes, in checkpoints; one that is loaded may be of another number, which is said."""

    def __init__(self, own):
        self._own = own

    def state_dict(self):
        return {"number": self._own}

    def load_state_dict(self, state):
        if state["number"] != self._own:
            logger.warning(
                "The run goes on in %d processes, and was begun in %d: from here on its numbers are no longer those of "
                "the unbroken run",
                *(self._own, state["number"]),
            )


class _FittingOptimizer:
    """An optimizer in checkpoints; the state that is loaded has to be of as many parameters, of the same shapes."""

    def __init__(self, optimizer):
        self._optimizer = optimizer
        self.state_dict = optimizer.state_dict

    def load_state_dict(self, state):
        groups = [group["params"] for group in self._optimizer.param_groups]
        fits = [len(group["params"]) for group in state["param_groups"]] == list(map(len, groups))
        if fits:
            numbers = [number for group in state["param_groups"] for number in group["params"]]
            for number, parameter in zip(numbers, (one for group in groups for one in group)):
                values = state["state"].get(number, {}).values()
                shapes = [value.shape for value in values if isinstance(value, torch.Tensor) and value.ndim]
                fits = fits and all(shape == parameter.shape for shape in shapes)
        if not fits:
            raise UserError(
                "--resume: the run was begun with other parameters, or with other groups of them: its sources had "
                "another number of identities, or a key of MODEL or SOLVER had another value; go on with the former, "
                "or choose another OUTPUT_DIR"
            )
        self._optimizer.load_state_dict(state)


class _FromCheckpoint:
    """Takes what a checkpoint has for it, as ``state``; {} if it has nothing."""

    def __init__(self):
        self.state = {}

    def load_state_dict(self, state):
        self.state = state
