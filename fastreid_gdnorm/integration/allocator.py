"""The seam at the C library: training on the CPU keeps the memory of tensors that it frees.

glibc gives the memory of large tensors back to the system as soon as they are freed. Getting it again, page by page,
takes a quarter of a training step. On CUDA, torch itself keeps what is freed.
"""

import ctypes
import logging
import os
import platform

logger = logging.getLogger("fastreid.gdnorm.allocator")

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h
SETTINGS = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")  # environment variables by which users choose for themselves


def set_allocator(cfg):
    """Set the allocator for training on the CPU, in this process and those that it forks, if SOLVER.KEEP_MEMORY."""
    if cfg.SOLVER.KEEP_MEMORY and cfg.MODEL.DEVICE == "cpu" and keep_memory():
        logger.info("Memory that is freed is kept for the next step; SOLVER.KEEP_MEMORY False gives it back")


def keep_memory():
    """Have glibc keep all memory that is freed; whether it does, which is not where the environment says otherwise."""
    if platform.libc_ver()[0] != "glibc" or any(
        value and name.startswith(SETTINGS) for name, value in os.environ.items()
    ):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))
