"""The running statistics of a model's BN layers, with or without branches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from .distributed import broadcast_from_rank0


def start_average(bn: nn.modules.batchnorm._BatchNorm) -> None:
    """From now on, make ``bn`` normalise by batch statistics and keep their plain average over the batches."""
    bn.reset_running_stats()
    bn.momentum = None  # BatchNorm2d: a cumulative average
    bn.train()


def _statistics(model: nn.Module) -> dict[str, Tensor]:
    """{name: buffer}; the model's own tensors, not copies."""
    kinds = ("running_mean", "running_var", "num_batches_tracked")
    return {name: values for name, values in model.named_buffers() if name.endswith(kinds)}


def copy_statistics(model: nn.Module) -> dict[str, Tensor]:
    """{name: tensor}, copies for :func:`restore_statistics`.

    Copies are slices of a few tensors: on a GPU, hundreds of small copies would take longer than they have to.
    """
    alike: dict[tuple[torch.dtype, torch.device], dict[str, Tensor]] = {}
    for name, values in _statistics(model).items():
        alike.setdefault((values.dtype, values.device), {})[name] = values
    copied = {}
    for group in alike.values():
        parts = torch.cat([values.flatten() for values in group.values()]).split([v.numel() for v in group.values()])
        copied.update({name: part.view_as(values) for part, (name, values) in zip(parts, group.items())})
    return copied


@torch.no_grad()
def restore_statistics(model: nn.Module, copied: Mapping[str, Tensor]) -> None:
    """Set the model's running statistics to the copied ones; ignore copies of layers that it does not have.

    Like BN's own updates, this is invisible to autograd, so gradients of earlier passes can still be computed.
    """
    own = _statistics(model)
    for name, values in copied.items():
        if name in own and own[name].shape == values.shape:
            own[name].data.copy_(values)


def share_statistics(model: nn.Module) -> None:
    """Give all processes the running means and variances of rank 0."""
    broadcast_from_rank0([values for values in _statistics(model).values() if values.is_floating_point()])


@contextlib.contextmanager
def keeping_statistics(model: nn.Module) -> Iterator[None]:
    """Restore the running statistics at the end of the block."""
    copied = copy_statistics(model)
    try:
        yield
    finally:
        restore_statistics(model, copied)
