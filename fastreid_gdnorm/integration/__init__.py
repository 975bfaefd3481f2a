"""The seams that fast-reid has no registry for, one file each."""

from . import checkpoints, drawn_domains, hooks, loaders, ranking, testing, trainer


def connect():
    """Connect fast-reid's own data sets, loaders, trainer, hooks, checkpoints, tests and ranking with the plugin."""
    drawn_domains.connect()
    loaders.connect()
    trainer.connect()
    hooks.connect()
    checkpoints.connect()
    testing.connect()
    ranking.connect()
