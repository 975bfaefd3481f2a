"""Starts the processes that fast-reid's flags ask for, or joins those that torchrun or Slurm has started.

They communicate by torch.distributed: NCCL on CUDA, gloo on the CPU. This module adds how the processes find each
other, and reports a failure in one line that names the process and the reason.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import multiprocessing
import os
import re
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from fastreid.utils import comm
from torch.distributed.distributed_c10d import Store
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, spawn

from ..errors import Failure, UserError, file_mistake, line_of
from ..interrupts import ending_on_ctrl_c
from ..plugins import load_plugins
from .cluster_env import RankInfo, rank_from_env
from .process_pool import threads_each
from .rendezvous import connect, join, leave

logger = logging.getLogger("fastreid.gdnorm.processes")

GRACE_PERIOD = timedelta(seconds=10)  # how long a process that lost another one waits to learn why
_children = itertools.count()
CONTACT_LOST = re.compile(r"gloo|nccl|connection (closed|reset|refused)|broken pipe", re.IGNORECASE)


class Processes(NamedTuple):
    """How many processes to use, as in fast-reid's flags."""

    num_gpus: int = 1  # per machine; without CUDA, the number of processes
    num_machines: int = 1
    machine_rank: int = 0
    dist_url: str = "auto"

    @property
    def number(self) -> int:
        """The number of processes on all machines."""
        return self.num_gpus * self.num_machines


def launch(
    main: Callable[..., object], processes: Processes | None = None, device: str = "cuda", args: Sequence[Any] = ()
) -> None:
    """Call ``main(*args)`` in every process: in this one if torchrun or Slurm started it, otherwise in new ones.

    Args:
        processes: how many to start; None means one.
        device: MODEL.DEVICE.

    Raises:
        UserError: the flags or the environment are wrong, a process never joins, or ``main`` raises a UserError; with
            several processes, the message names the process.
        Failure: one of several processes failed or was killed.
    """
    processes = processes or Processes()
    info = rank_from_env(os.environ)
    if info and processes.number > 1:
        raise UserError(
            f"--num-gpus {processes.num_gpus} --num-machines {processes.num_machines}: torchrun or Slurm has already "
            f"started {info.number} processes; leave out these flags"
        )
    if info:
        _work_as(info, device, main, args)
    elif processes.number <= 1:  # fast-reid's --num-gpus 0 is one process on the CPU
        main(*args)
    else:
        _spawn(processes, device, main, args)


def run_on_main(work: Callable[[], object]) -> None:
    """Call ``work()`` on the main process; the other processes take part in each of its :func:`run_together` calls."""
    if comm.is_main_process():
        try:
            work()
        finally:
            comm.all_gather(None)
        return
    while (command := comm.all_gather(None)[0]) is not None:
        comm.all_gather(_run_child(command, stdout=subprocess.DEVNULL))


def run_together(command: Sequence[str], **options: Any) -> int:
    """Run ``command`` in one child of every process; the children work together as their parents do.

    Args:
        options: passed to ``subprocess.run`` on the main process; ``env`` applies to its child only.

    Returns:
        the exit status farthest from 0.
    """
    comm.all_gather(command)
    statuses: list[int] = comm.all_gather(_run_child(command, **options))
    return max(statuses, key=abs)


def _run_child(command: Sequence[str], env: Mapping[str, str] | None = None, **options: Any) -> int:
    env = dict(os.environ if env is None else env)
    if comm.get_world_size() > 1:
        # the children join at the parents' store, under a name of their own
        own_name = {"FASTREID_ATTEMPT": f"child {next(_children)}", "TORCHELASTIC_USE_AGENT_STORE": "True"}
        env.update(own_name)
    status: int = subprocess.run(command, env=env, **options).returncode
    return status


def _spawn(processes: Processes, device: str, main: Callable[..., object], args: Sequence[Any]) -> None:
    """Start this machine's processes, wait for them, and raise the error of the one that failed."""
    on_gpu = device.startswith("cuda")
    available = torch.cuda.device_count() if on_gpu else os.cpu_count() or 1
    if processes.num_gpus > available:
        what = "CUDA devices" if on_gpu else "CPU cores (MODEL.DEVICE is cpu)"
        raise UserError(
            f"--num-gpus is {processes.num_gpus}, but this machine has {available} {what}: use at most {available}"
        )
    address = processes.dist_url
    is_local = bool(re.match("auto|tcp://127.0.0.1", address))  # fast-reid's default has a fixed port for each user
    if processes.num_machines > 1 and is_local:
        raise UserError(
            f"--num-machines is {processes.num_machines}, but --dist-url {address} works on one machine only: on every "
            "machine, set --dist-url tcp://ADDRESS:PORT to a free port of the machine with --machine-rank 0"
        )
    if is_local:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    first = processes.machine_rank * processes.num_gpus
    try:
        workers = multiprocessing.get_start_method()
        context = spawn(
            _spawned, (first, workers, processes, address, device, main, args), processes.num_gpus, join=False
        )
        try:
            while not context.join():
                pass
        except KeyboardInterrupt:
            for process in context.processes:
                process.terminate()
            raise
    except ProcessRaisedException as error:
        line = str(error).strip().splitlines()[-1]
        kind = UserError if "UserError: " in line else Failure
        raise kind(re.sub(r"^[\w.]*(UserError|Failure): ", "", line)) from error
    except ProcessExitedException as error:
        how = f"was killed by {error.signal_name}" if error.signal_name else f"exited with status {error.exit_code}"
        raise Failure(f"rank {first + error.error_index} of {processes.number} {how}") from error


def _spawned(
    local_rank: int, first: int, workers: str, processes: Processes, address: str, device: str, main: Any, args: Any
) -> None:
    load_plugins()  # a new process has none
    multiprocessing.set_start_method(workers, force=True)  # start loaders' workers as in any other process
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads_each(processes.num_gpus))
    rank = first + local_rank
    info = RankInfo(rank, processes.number, local_rank, str(processes.machine_rank), address, hosts=rank == 0)
    with ending_on_ctrl_c():
        _work_as(info, device, main, args)


def _work_as(info: RankInfo, device: str, main: Callable[..., object], args: Sequence[Any]) -> None:
    """Join the other processes, call ``main`` and leave; an error names the process that it comes from."""
    on_gpu = device.startswith("cuda") and torch.cuda.is_available()
    if on_gpu and info.local_rank >= torch.cuda.device_count():
        raise UserError(
            f"rank {info.rank} of {info.number} is process {info.local_rank} on its machine, counting from 0, but "
            f"sees {torch.cuda.device_count()} CUDA devices: start one process per device, and let each see all of them"
        )
    store = join(info)
    if on_gpu:
        torch.cuda.set_device(info.local_rank)
    connect(info, store, "nccl" if on_gpu else "gloo")
    try:
        main(*args)
        comm.synchronize()
    except Exception as error:
        reported = _with_rank(error, info, store)
        if not on_gpu:  # NCCL would wait for the others, which torchrun, srun or the parent process will end
            leave()  # tells the others
        if info.rank == 0:  # the store may end with this process
            _wait(store, [f"heard/{rank}" for rank in range(1, info.number)])
        raise reported from error
    leave()


def _with_rank(error: Exception, info: RankInfo, store: Store) -> Exception:
    """The error of the process that failed first, with its rank; the processes share it through the store."""
    if isinstance(error, OSError) and file_mistake(error):
        error = UserError(file_mistake(error))
    who, lines = f"rank {info.rank} of {info.number}", str(error).strip().splitlines() or [""]
    if isinstance(error, UserError):
        line = f"{who}: {line_of(error)}"
    elif isinstance(error, RuntimeError) and CONTACT_LOST.search(str(error)):
        line = f"{who} lost contact with another process, which was killed or is unreachable: {lines[0]}"
        _wait(store, ["failed"])  # the other process may report why
    elif isinstance(error, Failure):
        line = f"{who}: {lines[0]}"
    else:
        logger.error("Exception in %s", who, exc_info=error)
        line = f"{who}: {type(error).__name__}: {lines[0]}"
    with contextlib.suppress(dist.DistError, RuntimeError):  # the store is gone with its process
        line = store.compare_set("failed", "", line).decode()
        store.set(f"heard/{info.rank}", "")
    return UserError(line) if isinstance(error, UserError) else Failure(line)


def _wait(store: Store, keys: list[str]) -> bool:
    try:
        store.wait(keys, GRACE_PERIOD)
    except (dist.DistError, RuntimeError):
        return False
    return True
