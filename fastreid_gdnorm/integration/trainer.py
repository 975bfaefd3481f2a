"""fast-reid's trainers: checks and settings before training, resumed runs, and the loss scale of half precision."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from fastreid.config import CfgNode
from fastreid.engine import DefaultTrainer
from fastreid.engine.train_loop import AMPTrainer
from fastreid.utils import comm

from ..config import completed
from ..data.own_data import own_data_of
from ..errors import UserError
from ..layers.running_statistics import restore_statistics
from ..modeling import GDNormTraining, is_gdnorm
from ..runs.settings import Settings
from .allocator import set_allocator
from .before_training import check_before_training, check_schedule
from .hooks import warn_of_ignored_keys
from .seed import seed_random_numbers

logger = logging.getLogger("fastreid.gdnorm.trainer")


def connect() -> None:
    """Check a training before it starts, and save in its checkpoints what a resumed run must match.

    A run resumed without DomainPreciseBN continues from the running statistics that the hook saved in its checkpoint.
    In half precision, the model gets GradScaler's scale, which it needs for its early gradients.
    """
    stock_init, stock_resume = DefaultTrainer.__init__, DefaultTrainer.resume_or_load
    stock_step, stock_scheduler = AMPTrainer.run_step, DefaultTrainer.build_lr_scheduler.__func__

    @functools.wraps(stock_init)
    def init(self: Any, cfg: CfgNode) -> None:
        cfg = completed(cfg)
        set_allocator(cfg)
        check_before_training(type(self), cfg)
        seed_random_numbers(cfg)
        stock_init(self, cfg)  # as patches/ has repaired it
        self.checkpointer.checkpointables = {
            "settings": Settings(cfg),  # first: if the settings differ, what is loaded later may not fit
            **self.checkpointer.checkpointables,
            "optimizer": _FittingOptimizer(self._trainer.optimizer),
            "identities": _SameIdentities(
                getattr(self.data_loader.dataset, "pids", ()),
                must_match=is_gdnorm(cfg) or any(map(own_data_of, cfg.DATASETS.NAMES)),
            ),
            "processes": _ProcessCount(comm.get_world_size()),
        }
        warn_of_ignored_keys(self, cfg)

    @functools.wraps(stock_scheduler)
    def build_lr_scheduler(cls: Any, cfg: CfgNode, optimizer: Any, iters_per_epoch: int) -> Any:
        check_schedule(cfg.SOLVER, iters_per_epoch)
        return stock_scheduler(cls, cfg, optimizer, iters_per_epoch)

    @functools.wraps(stock_resume)
    def resume_or_load(self: Any, resume: bool = True) -> None:
        checkpointables = self.checkpointer.checkpointables
        if "running_statistics" in checkpointables:  # DomainPreciseBN restores them itself
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
                f"the processes, by rank, would start with epochs {', '.join(map(str, epochs))}: OUTPUT_DIR "
                f"{self.cfg.OUTPUT_DIR} must be one folder that all machines share"
            )

    @functools.wraps(stock_step)
    def run_step(self: Any) -> None:
        model = getattr(self.model, "module", self.model)  # inside DistributedDataParallel
        if not isinstance(model, GDNormTraining):
            stock_step(self)
            return
        model.loss_scale = self.grad_scaler.get_scale()
        try:
            stock_step(self)
        finally:
            model.loss_scale = None

    DefaultTrainer.__init__, DefaultTrainer.resume_or_load = init, resume_or_load
    DefaultTrainer.build_lr_scheduler, AMPTrainer.run_step = classmethod(build_lr_scheduler), run_step


class _ProcessCount:
    """The number of processes, in checkpoints; warns if a resumed run has another number."""

    def __init__(self, own: int) -> None:
        self._own = own

    def state_dict(self) -> dict[str, int]:
        return {"number": self._own}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        if state["number"] != self._own:
            logger.warning(
                "Resuming with %d instead of %d processes: from here on, the results differ from those of an "
                "uninterrupted run",
                *(self._own, state["number"]),
            )


class _SameIdentities:
    """The identities that a classifier's outputs stand for, in checkpoints, as a digest.

    Args:
        must_match: refuse a run with other identities; otherwise only warn, since stock fast-reid resumes it.
    """

    def __init__(self, identities: Iterable[object], must_match: bool) -> None:
        self._must_match = must_match
        self._own = hashlib.sha256("\n".join(map(str, identities)).encode(errors="surrogateescape")).hexdigest()

    def state_dict(self) -> dict[str, str]:
        return {"sha256": self._own}

    def load_state_dict(self, state: Mapping[str, str]) -> None:
        if state["sha256"] == self._own:
            return
        line = (
            "--resume: the run started with other identities, so its classifier would take people for others: "
            "restore the data of its sources, or start a new run from its weights, with MODEL.WEIGHTS FILE"
        )
        if self._must_match:
            raise UserError(line)
        logger.warning(line)


class _FittingOptimizer:
    """An optimizer in checkpoints; the state that it loads must have as many parameters, of the same shapes."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer
        self.state_dict = optimizer.state_dict

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
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
                "--resume: the run started with other parameters or parameter groups, because its sources had another "
                "number of identities or a key of MODEL or SOLVER had another value: set these back, or choose another "
                "OUTPUT_DIR"
            )
        self._optimizer.load_state_dict(state)


class _FromCheckpoint:
    """Keeps what a checkpoint holds for it in ``state``, or {}."""

    def __init__(self) -> None:
        self.state: Mapping[str, Any] = {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.state = state
