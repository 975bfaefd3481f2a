"""Putting a whole model on a path."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator
from typing import Any

from torch import nn

from .gdnorm import GDNorm, gdnorm_layers
from .paths import Path
from .recomputation import in_backward_pass

_changed = threading.Condition()
_follower: dict[GDNorm, int] = {}  # for each layer, the thread that follows a path through it


@contextlib.contextmanager
def follow(model: nn.Module, path: Path) -> Iterator[nn.Module]:
    """Put every GDNorm layer of ``model`` on ``path``; on exit, also by an exception, restore the previous path.

    Blocks can be nested within a thread. Other threads that call ``follow`` on the same layers wait until the block
    ends. A thread that calls the model without ``follow`` gets whatever path the model is on at that moment.

    Example:
        >>> model = convert_gdnorm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), num_domains=3)
        >>> with follow(model, SourcePath(0)):
        ...     of_source = model(torch.randn(4, 3, 16, 8))
        >>> model[1].path  # doctest: +ELLIPSIS
        <...MeanPath object at ...>
    """
    layers = gdnorm_layers(model)
    with _alone(layers.values()):
        path.start(layers)
        before = [(layer, layer.path, layer.history) for layer in layers.values()]
        try:
            for layer in layers.values():
                layer.path = path
            yield model
        finally:
            for layer, was, history in before:
                layer.path = was
                if in_backward_pass():
                    layer.history = history  # that of the forward pass


def forward_along(model: nn.Module, batch: Any, path: Path) -> Any:
    """The output of ``model`` for a batch along ``path``."""
    embed = getattr(model, "embed", None)  # a GDNorm meta-architecture, whose forward chooses the path itself
    if embed is not None:
        return embed(batch, [path])
    with follow(model, path):
        return model(batch)


@contextlib.contextmanager
def _alone(layers: Collection[GDNorm]) -> Iterator[None]:
    """Wait until no other thread follows a path through any of ``layers``, and keep others out.

    The backward pass may run in one of autograd's threads, on behalf of a caller that already holds the layers and
    waits for it; it does not wait.
    """
    if in_backward_pass():
        yield
        return
    thread = threading.get_ident()
    with _changed:
        # take all layers at once or none, so that two threads cannot wait for each other
        _changed.wait_for(lambda: all(_follower.get(layer, thread) == thread for layer in layers))
        taken = [layer for layer in layers if layer not in _follower]
        _follower.update(dict.fromkeys(taken, thread))
    try:
        yield
    finally:
        with _changed:
            for layer in taken:
                del _follower[layer]
            _changed.notify_all()
