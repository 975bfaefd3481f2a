"""Processes that share the cores, for work on small networks: more threads would hardly speed it up."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import torch


def threads_each(number: int) -> int:
    """How many threads each of ``number`` processes gets if they share those of this process."""
    return max(1, torch.get_num_threads() // number)


def spawned_pool(number: int, threads: int) -> ProcessPoolExecutor:
    """A pool of ``number`` processes with ``threads`` threads each, spawned as CUDA and OpenMP require."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(number, spawn, _set_up, (threads, multiprocessing.get_start_method()))


def _set_up(threads: int, workers: str) -> None:
    torch.set_num_threads(threads)
    multiprocessing.set_start_method(workers, force=True)  # start loaders' workers as in any other process
