"""Processes that share the cores, for work on small networks: more threads would hardly speed it up."""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch


def threads_each(number: int) -> int:
    """How many threads each of ``number`` processes gets if they share those of this process."""
    return max(1, torch.get_num_threads() // number)


def spawned_pool(number: int, threads: int) -> ProcessPoolExecutor:
    """A pool of ``number`` processes with ``threads`` threads each.

    They are no copies of this process, whose CUDA and OpenMP would not work in a copy. On Linux without CUDA, they are
    copies of a process that has imported fast-reid and run nothing, and start at once.
    """
    method = "forkserver" if sys.platform == "linux" and not torch.cuda.is_available() else "spawn"
    context: Any = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["fastreid_gdnorm.registration"])
    shared = threads, multiprocessing.get_start_method(), dict(os.environ)
    return ProcessPoolExecutor(number, context, _set_up, shared)


def _set_up(threads: int, workers: str, environment: dict[str, str]) -> None:
    os.environ.update(environment)  # a copy has the environment of when the copied process started
    torch.set_num_threads(threads)
    multiprocessing.set_start_method(workers, force=True)  # start loaders' workers as in any other process
