"""SEED: all random numbers of a training start from it."""

from __future__ import annotations

from fastreid.config import CfgNode
from fastreid.utils import comm
from fastreid.utils.env import seed_all_rng


def seed_random_numbers(cfg: CfgNode) -> None:
    """With a SEED, seed the random numbers of Python, NumPy and torch, differently in each process."""
    if (seed := seed_of(cfg)) is not None:
        seed_all_rng(seed + comm.get_rank())


def seed_of(cfg: CfgNode) -> int | None:
    """SEED, or None if it is -1 or a project uses a key of that name for something else."""
    return cfg.SEED if isinstance(cfg.SEED, int) and cfg.SEED >= 0 else None
