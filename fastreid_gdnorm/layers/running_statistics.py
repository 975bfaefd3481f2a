"""The running statistics of a model's BN, branched or not: what training moves beside the weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from .distributed import broadcast_from_rank0


def start_average(bn: nn.modules.batchnorm._BatchNorm) -> None:
    """Let ``bn`` normalise by the batch's statistics, and keep their plain average over the batches from now on."""
    bn.reset_running_stats()
    bn.momentum = None  # BatchNorm2d: a cumulative average
    bn.train()


def _statistics(model: nn.Module) -> dict[str, Tensor]:
    """{name: buffer} of the model's own tensors, not copies."""
    kinds = ("running_mean", "running_var", "num_batches_tracked")
    return {name: values for name, values in model.named_buffers() if name.endswith(kinds)}


def copy_statistics(model: nn.Module) -> dict[str, Tensor]:
    """{name: tensor}, to be put back by :func:`restore_statistics`."""
    return {name: values.clone() for name, values in _statistics(model).items()}


@torch.no_grad()
def restore_statistics(model: nn.Module, copied: Mapping[str, Tensor]) -> None:
    """Make the model's running statistics what they were when they were copied; layers that it has not are left out.

    Passes whose gradients are still to be taken keep them: like BN's own moves, this is none of autograd's changes.
    """
    own = _statistics(model)
    for name, values in copied.items():
        if name in own and own[name].shape == values.shape:
            own[name].data.copy_(values)


def share_statistics(model: nn.Module) -> None:
    """Make the running means and variances on all processes those of rank 0."""
    broadcast_from_rank0([values for values in _statistics(model).values() if values.is_floating_point()])


@contextlib.contextmanager
def keeping_statistics(model: nn.Module) -> Iterator[None]:
    """Whatever is done within, the running statistics are afterwards what they were."""
    copied = copy_statistics(model)
    try:
        yield
    finally:
        restore_statistics(model, copied)
