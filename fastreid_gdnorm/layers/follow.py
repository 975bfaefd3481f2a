"""Putting a whole model on a path."""

import contextlib

from .gdnorm import gdnorm_layers


@contextlib.contextmanager
def follow(model, path):
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
