"""The seam at the losses: those of several processes may be of the batches of all, as one process's are."""

import functools

import torch
from fastreid.engine import DefaultTrainer
from fastreid.utils import comm
from torch.utils import _pytree as pytree

from ..config import completed
from ..layers.distributed import gather_rows


def connect():
    """With SOLVER.GLOBAL_LOSSES the losses of a meta-architecture are of what all processes' networks give it.

    MoCo's are so by themselves, and its queue takes the keys of all processes once for each: leave the key off there.
    """
    stock_build = DefaultTrainer.build_model.__func__

    @functools.wraps(stock_build)
    def build_model(cls, cfg):
        model = stock_build(cls, cfg)
        if comm.get_world_size() > 1 and completed(cfg).SOLVER.GLOBAL_LOSSES:
            model.losses = functools.partial(_of_all_processes, model.losses)
        return model

    DefaultTrainer.build_model = classmethod(build_model)


def _of_all_processes(losses, *outputs):
    """``losses`` of what all processes' networks have given, tensors (B, ...) in whatever they come in."""
    return losses(*pytree.tree_map_only(torch.Tensor, gather_rows, outputs))
