"""The seams that fast-reid has no registry for, one file each."""

from . import checkpoints, hooks, loaders, ranking, testing, trainer


def connect():
    """Connect fast-reid's own loaders, trainer, hooks, checkpoints, tests and ranking with the plugin."""
    loaders.connect()
    trainer.connect()
    hooks.connect()
    checkpoints.connect()
    testing.connect()
    ranking.connect()
