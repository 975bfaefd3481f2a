"""How processes find each other: at a store that all share, and then as a group of torch.distributed."""

from __future__ import annotations

import contextlib
import os
from datetime import timedelta

import torch.distributed as dist
from fastreid.utils import comm
from torch.distributed import FileStore, TCPStore, distributed_c10d  # type: ignore[attr-defined]  # which they are
from torch.distributed.distributed_c10d import PrefixStore, Store

from ..errors import UserError
from .cluster_env import Place

ARRIVE = "FASTREID_ARRIVE"  # of the environment: the longest wait for all to be there, 300 seconds if it is not set
ANSWER = timedelta(minutes=60)  # and for one in the middle of its work, such as ranking on the main process
set_timeout = getattr(dist, "set_timeout", None) or distributed_c10d._set_pg_timeout  # its name before torch 2.14


def leave() -> None:
    """Leave the others."""
    comm._LOCAL_PROCESS_GROUP = None
    comm._get_global_gloo_group.cache_clear()
    dist.destroy_process_group()


def join(place: Place) -> Store:
    """The store that all processes share, once all are there."""
    who = f"rank {place.rank} of {place.number}"
    try:
        store = PrefixStore(place.attempt, _store(place))
        store.set(f"here/{place.rank}", place.machine)
    except (dist.DistError, RuntimeError, ValueError) as error:
        raise UserError(f"{who} cannot meet the others at {place.address}: {str(error).splitlines()[0]}") from error
    try:
        store.wait([f"here/{rank}" for rank in range(place.number)], _arrive())
    except (dist.DistError, RuntimeError) as error:
        missing = "another one"
        with contextlib.suppress(dist.DistError, RuntimeError):  # of a store that went with its process
            absent = [str(rank) for rank in range(place.number) if not store.check([f"here/{rank}"])]
            missing = f"rank {', '.join(absent)}"
        raise UserError(
            f"{who}: after {_arrive().total_seconds():.0f} s {missing} has not come to {place.address}. Start all of "
            f"them, or set {ARRIVE} to more seconds"
        ) from error
    return store


def _arrive() -> timedelta:
    seconds = os.environ.get(ARRIVE, "300")
    if not seconds.isdigit():
        raise UserError(f"{ARRIVE} is {seconds!r}, and has to be a whole number of seconds")
    return timedelta(seconds=int(seconds))


def _store(place: Place) -> Store:
    if place.address.startswith("file://"):
        return FileStore(place.address[len("file://") :], place.number)
    host, _, port = place.address[len("tcp://") :].rpartition(":")
    return TCPStore(host, int(port), place.number, place.hosts, _arrive(), wait_for_workers=False, multi_tenant=True)


def connect(place: Place, store: Store, backend: str) -> None:
    """Let each reach all others, and fast-reid know which share a machine."""
    try:
        dist.init_process_group(backend, store=store, rank=place.rank, world_size=place.number, timeout=_arrive())
        _know_the_machine(place, store)
        set_timeout(ANSWER)
    except (dist.DistError, RuntimeError) as error:
        raise UserError(
            f"rank {place.rank} of {place.number} met the others at {place.address}, and cannot reach them: "
            f"{str(error).splitlines()[0]}. Let {backend.upper()}_SOCKET_IFNAME name the network interface between them"
        ) from error


def _know_the_machine(place: Place, store: Store) -> None:
    """Tell fast-reid which processes share this one's machine."""
    machines: dict[str, list[int]] = {}
    for rank in range(place.number):
        machines.setdefault(store.get(f"here/{rank}").decode(), []).append(rank)
    for machine, ranks in machines.items():
        group = dist.new_group(ranks)
        if machine == place.machine:
            comm._LOCAL_PROCESS_GROUP = group
