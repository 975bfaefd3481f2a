"""Work on small networks that runs side by side, in processes that share the cores: threads speed it little."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import torch


def threads_each(number: int) -> int:
    """The threads of each of ``number`` processes that share this one's."""
    return max(1, torch.get_num_threads() // number)


def spawned_pool(number: int, threads: int) -> ProcessPoolExecutor:
    """``number`` processes, spawned as CUDA and OpenMP want it, of so many threads each."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(number, spawn, _begin, (threads, multiprocessing.get_start_method()))


def _begin(threads: int, workers: str) -> None:
    torch.set_num_threads(threads)
    multiprocessing.set_start_method(workers, force=True)  # the loaders' are started as in any other process
