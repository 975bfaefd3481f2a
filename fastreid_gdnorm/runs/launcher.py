"""The processes that work together: those that fast-reid's flags ask for, or that torchrun or Slurm have started.

The engine is torch.distributed: NCCL on CUDA, gloo on CPU. What is added is how processes find each other, and that
each says in one line which of them has failed, and why.
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
from .cluster_env import Place, started_place
from .process_pool import threads_each
from .rendezvous import connect, join, leave

logger = logging.getLogger("fastreid.gdnorm.processes")

LINGER = timedelta(seconds=10)  # in which a process that has lost another hears why
_children = itertools.count()
CONTACT_LOST = re.compile(r"gloo|nccl|connection (closed|reset|refused)|broken pipe", re.IGNORECASE)


class Processes(NamedTuple):
    """In how many processes to work, as fast-reid's flags say it."""

    num_gpus: int = 1  # of a machine; without CUDA, how many processes
    num_machines: int = 1
    machine_rank: int = 0
    dist_url: str = "auto"

    @property
    def number(self) -> int:
        """Of all machines."""
        return self.num_gpus * self.num_machines


def launch(
    main: Callable[..., object], processes: Processes | None = None, device: str = "cuda", args: Sequence[Any] = ()
) -> None:
    """Call ``main(*args)`` in every process: in this one, if torchrun or Slurm has started others, else in new ones.

    Args:
        processes: one if None.
        device: MODEL.DEVICE.

    Raises:
        UserError: a mistake in the flags or the environment, processes that do not come, or ``main``'s own, which then
            names the process.
        Failure: one of several processes has failed or was killed, this one or another.
    """
    processes = processes or Processes()
    place = started_place(os.environ)
    if place and processes.number > 1:
        raise UserError(
            f"--num-gpus {processes.num_gpus} --num-machines {processes.num_machines}: RANK, or Slurm, says that "
            f"{place.number} processes were started already; leave the flags out"
        )
    if place:
        _work_at(place, device, main, args)
    elif processes.number <= 1:  # fast-reid's --num-gpus 0 is one process on the CPU
        main(*args)
    else:
        _spawn(processes, device, main, args)


def run_on_main(work: Callable[[], object]) -> None:
    """Call ``work()`` on the main process of several, while the others take part in each :func:`run_together` of it."""
    if comm.is_main_process():
        try:
            work()
        finally:
            comm.all_gather(None)
        return
    while (words := comm.all_gather(None)[0]) is not None:
        comm.all_gather(_run_child(words, stdout=subprocess.DEVNULL))


def run_together(words: Sequence[str], **options: Any) -> int:
    """``subprocess.run`` on all processes, whose children work together as these do; the exit status farthest from 0.

    Args:
        options: of ``subprocess.run`` on the main process; ``env`` is of its child alone.
    """
    comm.all_gather(words)
    statuses: list[int] = comm.all_gather(_run_child(words, **options))
    return max(statuses, key=abs)


def _run_child(words: Sequence[str], env: Mapping[str, str] | None = None, **options: Any) -> int:
    env = dict(os.environ if env is None else env)
    if comm.get_world_size() > 1:
        # the children meet at the parents' store, apart from them and from the children before
        apart = {"FASTREID_ATTEMPT": f"child {next(_children)}", "TORCHELASTIC_USE_AGENT_STORE": "True"}
        env.update(apart)
    status: int = subprocess.run(words, env=env, **options).returncode
    return status


def _spawn(processes: Processes, device: str, main: Callable[..., object], args: Sequence[Any]) -> None:
    """Start this machine's processes, and say what became of them."""
    on_gpu = device.startswith("cuda")
    there_are = torch.cuda.device_count() if on_gpu else os.cpu_count() or 1
    if processes.num_gpus > there_are:
        what = "CUDA devices" if on_gpu else "CPU cores, as MODEL.DEVICE is cpu"
        raise UserError(f"--num-gpus is {processes.num_gpus}, and here are {there_are} {what}")
    address = processes.dist_url
    is_local = bool(re.match("auto|tcp://127.0.0.1", address))  # as by fast-reid's default, one port for each user
    if processes.num_machines > 1 and is_local:
        raise UserError(
            f"--num-machines is {processes.num_machines}, and --dist-url {address} is for one: give all of them "
            "--dist-url tcp://ADDRESS:PORT, a free port of the machine with --machine-rank 0"
        )
    if is_local:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    first = processes.machine_rank * processes.num_gpus
    try:
        workers = multiprocessing.get_start_method()
        given = (first, workers, processes, address, device, main, args)
        context = spawn(_spawned, given, processes.num_gpus, join=False)
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
        how = error.signal_name or f"exit status {error.exit_code}"
        raise Failure(f"rank {first + error.error_index} of {processes.number} was ended by {how}") from error


def _spawned(
    local_rank: int, first: int, workers: str, processes: Processes, address: str, device: str, main: Any, args: Any
) -> None:
    load_plugins()  # this is a new process
    multiprocessing.set_start_method(workers, force=True)  # the loaders' are started as in any other process
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads_each(processes.num_gpus))
    rank = first + local_rank
    place = Place(rank, processes.number, local_rank, str(processes.machine_rank), address, hosts=rank == 0)
    with ending_on_ctrl_c():
        _work_at(place, device, main, args)


def _work_at(place: Place, device: str, main: Callable[..., object], args: Sequence[Any]) -> None:
    """Meet the others, work, and part; an error becomes one that names the process whose own it is."""
    on_gpu = device.startswith("cuda") and torch.cuda.is_available()
    if on_gpu and place.local_rank >= torch.cuda.device_count():
        raise UserError(
            f"rank {place.rank} of {place.number} is process {place.local_rank} of its machine, counted from 0, and "
            f"sees {torch.cuda.device_count()} CUDA devices: start one process for each, and let each see them all"
        )
    store = join(place)
    if on_gpu:
        torch.cuda.set_device(place.local_rank)
    connect(place, store, "nccl" if on_gpu else "gloo")
    try:
        main(*args)
        comm.synchronize()
    except Exception as error:
        named = _named(error, place, store)
        if not on_gpu:  # NCCL would wait for the others, whom torchrun, srun or the parent process end
            leave()  # which is how the others notice
        if place.rank == 0:  # with which the store may go
            _wait(store, [f"heard/{rank}" for rank in range(1, place.number)])
        raise named from error
    leave()


def _named(error: Exception, place: Place, store: Store) -> Exception:
    """``error`` with the rank of the process that failed first, which the others hear of from the store."""
    if isinstance(error, OSError) and file_mistake(error):
        error = UserError(file_mistake(error))
    who, lines = f"rank {place.rank} of {place.number}", str(error).strip().splitlines() or [""]
    if isinstance(error, UserError):
        line = f"{who}: {line_of(error)}"
    elif isinstance(error, RuntimeError) and CONTACT_LOST.search(str(error)):
        line = f"{who} has lost another one, which was killed or cannot be reached: {lines[0]}"
        _wait(store, ["failed"])  # what the other one says
    elif isinstance(error, Failure):
        line = f"{who}: {lines[0]}"
    else:
        logger.error("Exception in %s", who, exc_info=error)
        line = f"{who}: {type(error).__name__}: {lines[0]}"
    with contextlib.suppress(dist.DistError, RuntimeError):  # of a store that went with its process
        line = store.compare_set("failed", "", line).decode()
        store.set(f"heard/{place.rank}", "")
    return UserError(line) if isinstance(error, UserError) else Failure(line)


def _wait(store: Store, keys: list[str]) -> bool:
    try:
        store.wait(keys, LINGER)
    except (dist.DistError, RuntimeError):
        return False
    return True
