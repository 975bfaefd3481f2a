"""The seam at the start of a training: with SEED, all that is random begins with it."""

import functools

from fastreid.engine import DefaultTrainer
from fastreid.utils import comm
from fastreid.utils.env import seed_all_rng

from ..config import completed


def connect():
    """A trainer that is built with a SEED seeds Python's, NumPy's and torch's random numbers, each process its own."""
    stock_init = DefaultTrainer.__init__

    @functools.wraps(stock_init)
    def init(self, cfg):
        if (seed := seed_of(completed(cfg))) is not None:
            seed_all_rng(seed + comm.get_rank())
        stock_init(self, cfg)

    DefaultTrainer.__init__ = init


def seed_of(cfg):
    """SEED; None if it is -1, or of another meaning in a project that has a key of that name."""
    return cfg.SEED if isinstance(cfg.SEED, int) and cfg.SEED >= 0 else None
