"""The seams that fast-reid has no registry for, one file each."""

from . import (
    allocator,
    checkpoints,
    drawn_domains,
    hooks,
    launch,
    loaders,
    losses,
    pretrained,
    ranking,
    seed,
    testing,
    trainer,
)


def connect():
    """Connect every one of them with the plugin."""
    seed.connect()
    pretrained.connect()
    drawn_domains.connect()
    launch.connect()
    losses.connect()
    loaders.connect()
    trainer.connect()
    allocator.connect()
    hooks.connect()
    checkpoints.connect()
    testing.connect()
    ranking.connect()
