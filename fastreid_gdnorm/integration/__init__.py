"""The seams that fast-reid has no registry for, one file each."""

from . import (
    allocator,
    bounded_ranking,
    checkpointer,
    drawn_domains,
    hooks,
    launch,
    loaders,
    losses,
    seed,
    shipped_weights,
    testing,
    trainer,
)


def connect():
    """Connect every one of them with the plugin."""
    seed.connect()
    shipped_weights.connect()
    drawn_domains.connect()
    launch.connect()
    losses.connect()
    loaders.connect()
    trainer.connect()
    allocator.connect()
    hooks.connect()
    checkpointer.connect()
    testing.connect()
    bounded_ranking.connect()
