"""A process's place among all: what torchrun or Slurm say of it in the environment."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import NamedTuple

from ..errors import UserError

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class Place(NamedTuple):
    """One process's place among all.

    Args:
        machine: what processes of one machine, or of one torchrun, have in common.
        address: where they meet, tcp://HOST:PORT.
        hosts: whether this one keeps the place, unless torchrun does.
        attempt: the name of the round; processes of other rounds may have met at the same address.
    """

    rank: int
    number: int
    local_rank: int
    machine: str
    address: str
    hosts: bool
    attempt: str = ""


def started_place(environment: Mapping[str, str]) -> Place | None:
    """This process's place as torchrun, or Slurm's srun, says it; None if it was started alone.

    Raises:
        UserError: the environment says a part of it.
    """
    environment = {**_of_slurm(environment), **environment}
    number = _whole(environment, "WORLD_SIZE") if "WORLD_SIZE" in environment else None
    if number == 1 or (number is None and "RANK" not in environment):
        return None
    missing = [name for name in VARIABLES if name not in environment]
    if missing:
        there = ", ".join(f"{name} {environment[name]}" for name in VARIABLES if name in environment)
        raise UserError(f"{there}: several processes also need {', '.join(missing)}, as torchrun and srun set them")
    rank, number, local_rank, _ = (_whole(environment, name) for name in VARIABLES if name != "MASTER_ADDR")
    if not 0 <= rank < number:
        raise UserError(f"RANK is {rank}, and WORLD_SIZE {number}: ranks go from 0 to {number - 1}")
    machine = environment.get("GROUP_RANK") or environment.get("SLURM_NODEID") or socket.gethostname()
    address = f"tcp://{environment['MASTER_ADDR']}:{environment['MASTER_PORT']}"
    hosts = rank == 0 and environment.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    attempt = f"{environment.get('FASTREID_ATTEMPT', '')} {environment.get('TORCHELASTIC_RESTART_COUNT', '')}"
    return Place(rank, number, local_rank, machine, address, hosts, attempt)


def _of_slurm(environment: Mapping[str, str]) -> dict[str, str]:
    """What torchrun would say, of a task that srun has started."""
    number = environment.get("SLURM_STEP_NUM_TASKS", "1")
    if number == "1" or "RANK" in environment:
        return {}
    names = {"RANK": "SLURM_PROCID", "LOCAL_RANK": "SLURM_LOCALID"}
    found = {name: environment[slurm] for name, slurm in names.items() if slurm in environment}
    if "SLURM_STEP_NODELIST" in environment:
        # "rack[1-2]node[07-09,12],other" begins with rack1node07
        first = re.match(r"(\[[^\]]*\]|[^,\[])*", environment["SLURM_STEP_NODELIST"])
        found["MASTER_ADDR"] = re.sub(r"\[(\w+)[^\]]*\]", r"\1", first[0] if first else "")
    if "SLURM_JOB_ID" in environment:
        step = int(environment["SLURM_JOB_ID"]) + int(environment.get("SLURM_STEP_ID", 0))
        found["MASTER_PORT"] = str(20000 + step % 20000)
    return {"WORLD_SIZE": number, **found}


def _whole(environment: Mapping[str, str], name: str) -> int:
    if not environment[name].isdigit():
        raise UserError(f"{name} is {environment[name]!r}, and has to be a whole number")
    return int(environment[name])
