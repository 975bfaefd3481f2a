"""SOLVER.GLOBAL_LOSSES: several processes compute their losses over the batches of all, like one process."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from fastreid.config import CfgNode
from fastreid.engine import DefaultTrainer
from fastreid.utils import comm
from torch.utils import _pytree as pytree

from ..config import completed
from ..layers.distributed import gather_rows


def connect() -> None:
    """With SOLVER.GLOBAL_LOSSES, a meta-architecture's losses take the outputs of every process's network.

    Do not set the key for MoCo: its losses already do this, and its queue would take every process's keys once per
    process.
    """
    stock_build = DefaultTrainer.build_model.__func__

    @functools.wraps(stock_build)
    def build_model(cls: Any, cfg: CfgNode) -> Any:
        model = stock_build(cls, cfg)
        if comm.get_world_size() > 1 and completed(cfg).SOLVER.GLOBAL_LOSSES:
            model.losses = functools.partial(_losses_of_all_processes, model.losses)
        return model

    DefaultTrainer.build_model = classmethod(build_model)


def _losses_of_all_processes(losses: Callable[..., Any], *outputs: Any) -> Any:
    """``losses`` of the outputs of all processes' networks: tensors (B, ...) in any nested structure."""
    return losses(*pytree.tree_map_only(torch.Tensor, gather_rows, outputs))
