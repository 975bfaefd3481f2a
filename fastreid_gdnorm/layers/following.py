"""Putting a whole model on a path."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn

from .gdnorm import gdnorm_layers
from .paths import Path


@contextlib.contextmanager
def follow(model: nn.Module, path: Path) -> Iterator[nn.Module]:
    """Put every GDNorm layer of ``model`` on ``path``; on the way out, also by an exception, restore what was."""
    layers = gdnorm_layers(model)
    path.start(layers)
    before = [(layer, layer.path) for layer in layers.values()]
    try:
        for layer in layers.values():
            layer.path = path
        yield model
    finally:
        for layer, was in before:
            layer.path = was


def forward_along(model: nn.Module, batch: Any, path: Path) -> Any:
    """What ``model`` makes along ``path`` of a batch, whatever it takes."""
    embed = getattr(model, "embed", None)  # of a GDNorm meta-architecture, which chooses the path itself
    if embed is not None:
        return embed(batch, [path])
    with follow(model, path):
        return model(batch)
