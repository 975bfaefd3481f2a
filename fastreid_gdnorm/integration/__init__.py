"""The seams that fast-reid has no registry for, a file for each."""

from . import checkpoints, hooks, loaders, ranking, testing, trainer


def connect():
    """Let fast-reid's own loaders, trainer, checkpoints and tests find the plugin's registries, variants and splits."""
    loaders.connect()
    trainer.connect()
    hooks.connect()
    checkpoints.connect()
    testing.connect()
    ranking.connect()
