"""Putting a whole model on a path."""

import contextlib

from .gdnorm import GDNorm


@contextlib.contextmanager
def follow(model, path):
    """Put every GDNorm layer of ``model`` on ``path``; on the way out, also by an exception, restore what was."""
    before = [(layer, layer.path) for layer in model.modules() if isinstance(layer, GDNorm)]
    try:
        for layer, _ in before:
            layer.path = path
        yield model
    finally:
        for layer, was in before:
            layer.path = was
