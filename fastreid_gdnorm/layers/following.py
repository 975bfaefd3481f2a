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
_follower: dict[GDNorm, int] = {}  # the thread that follows a path through a layer


@contextlib.contextmanager
def follow(model: nn.Module, path: Path) -> Iterator[nn.Module]:
    """Put every GDNorm layer of ``model`` on ``path``; on the way out, also by an exception, restore what was.

    Other threads that would follow a path through the same layers wait until then; within one thread it nests. A
    thread that calls the model without following a path goes along the path that the model happens to be on.

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
                    layer.history = history  # which is the forward pass's


def forward_along(model: nn.Module, batch: Any, path: Path) -> Any:
    """What ``model`` makes along ``path`` of a batch, whatever it takes."""
    embed = getattr(model, "embed", None)  # of a GDNorm meta-architecture, which chooses the path itself
    if embed is not None:
        return embed(batch, [path])
    with follow(model, path):
        return model(batch)


@contextlib.contextmanager
def _alone(layers: Collection[GDNorm]) -> Iterator[None]:
    """While no other thread follows a path through any of ``layers``.

    In the backward pass, which may be in a thread of autograd's own, the layers are the caller's, who waits for it.
    """
    if in_backward_pass():
        yield
        return
    thread = threading.get_ident()
    with _changed:
        # all of them at once or none, so that no two threads wait for each other's
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
