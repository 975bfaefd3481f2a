"""How processes find each other: they join at a shared store, then form a torch.distributed group."""

from __future__ import annotations

import contextlib
import os
from datetime import timedelta

import torch.distributed as dist
from fastreid.utils import comm
from torch.distributed import FileStore, TCPStore, distributed_c10d  # type: ignore[attr-defined]  # implicit exports
from torch.distributed.distributed_c10d import PrefixStore, Store

from ..errors import UserError
from .cluster_env import RankInfo

JOIN_TIMEOUT = "FASTREID_ARRIVE"  # environment variable: how many seconds to wait for all processes, 300 by default
WORK_TIMEOUT = timedelta(minutes=60)  # how long to wait for a process at work, such as the main process's ranking
set_timeout = getattr(dist, "set_timeout", None) or distributed_c10d._set_pg_timeout  # its name before torch 2.14


def leave() -> None:
    """Leave the group."""
    comm._LOCAL_PROCESS_GROUP = None
    comm._get_global_gloo_group.cache_clear()
    dist.destroy_process_group()


def join(info: RankInfo) -> Store:
    """Wait until all processes have joined, and return the store that they share.

    Raises:
        UserError: the address cannot be reached, or a process never joins.
    """
    who = f"rank {info.rank} of {info.number}"
    try:
        store = PrefixStore(info.attempt, _store(info))
        store.set(f"here/{info.rank}", info.machine)
    except (dist.DistError, RuntimeError, ValueError) as error:
        raise UserError(
            f"{who} cannot join the others at {info.address}: {str(error).splitlines()[0]}; check the address"
        ) from error
    try:
        store.wait([f"here/{rank}" for rank in range(info.number)], _join_timeout())
    except (dist.DistError, RuntimeError) as error:
        missing = "another process"
        with contextlib.suppress(dist.DistError, RuntimeError):  # the store is gone with its process
            absent = [str(rank) for rank in range(info.number) if not store.check([f"here/{rank}"])]
            missing = f"rank {', '.join(absent)}"
        raise UserError(
            f"{who}: {missing} did not join at {info.address} within {_join_timeout().total_seconds():.0f} s; start "
            f"all processes, or set {JOIN_TIMEOUT} to more seconds"
        ) from error
    return store


def _join_timeout() -> timedelta:
    seconds = os.environ.get(JOIN_TIMEOUT, "300")
    if not seconds.isdigit():
        raise UserError(f"{JOIN_TIMEOUT} must be a whole number of seconds; got {seconds!r}")
    return timedelta(seconds=int(seconds))


def _store(info: RankInfo) -> Store:
    if info.address.startswith("file://"):
        return FileStore(info.address[len("file://") :], info.number)
    host, _, port = info.address[len("tcp://") :].rpartition(":")
    return TCPStore(
        host, int(port), info.number, info.hosts, _join_timeout(), wait_for_workers=False, multi_tenant=True
    )


def connect(info: RankInfo, store: Store, backend: str) -> None:
    """Connect all processes, and tell fast-reid which of them share a machine.

    Raises:
        UserError: a process cannot be reached.
    """
    timeout = _join_timeout()
    try:
        dist.init_process_group(backend, store=store, rank=info.rank, world_size=info.number, timeout=timeout)
        _set_local_group(info, store)
        set_timeout(WORK_TIMEOUT)
    except (dist.DistError, RuntimeError) as error:
        raise UserError(
            f"rank {info.rank} of {info.number} joined at {info.address}, but cannot reach the other processes: "
            f"{str(error).splitlines()[0]}; set {backend.upper()}_SOCKET_IFNAME to the network interface between them"
        ) from error


def _set_local_group(info: RankInfo, store: Store) -> None:
    """Tell fast-reid which processes share this one's machine."""
    machines: dict[str, list[int]] = {}
    for rank in range(info.number):
        machines.setdefault(store.get(f"here/{rank}").decode(), []).append(rank)
    for machine, ranks in machines.items():
        group = dist.new_group(ranks)
        if machine == info.machine:
            comm._LOCAL_PROCESS_GROUP = group
