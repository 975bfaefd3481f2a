"""SOLVER.KEEP_MEMORY: training on the CPU reuses the memory of tensors that it frees.

glibc returns the memory of a large tensor to the system as soon as it is freed. Getting it back, page by page, takes a
quarter of a training step. On CUDA, torch itself keeps freed memory.
"""

from __future__ import annotations

import ctypes
import logging
import os
import platform

from fastreid.config import CfgNode

logger = logging.getLogger("fastreid.gdnorm.allocator")

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # from malloc.h
SETTINGS = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")  # environment variables with which users set an allocator


def set_allocator(cfg: CfgNode) -> None:
    """If SOLVER.KEEP_MEMORY, keep freed memory when training on the CPU, in this process and those it forks."""
    if cfg.SOLVER.KEEP_MEMORY and cfg.MODEL.DEVICE == "cpu" and keep_memory():
        logger.info("Freed memory is kept for the next step; SOLVER.KEEP_MEMORY False returns it to the system")


def keep_memory() -> bool:
    """Make glibc keep all freed memory, unless the environment sets an allocator. Return whether it does."""
    if platform.libc_ver()[0] != "glibc" or any(
        value and name.startswith(SETTINGS) for name, value in os.environ.items()
    ):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))
