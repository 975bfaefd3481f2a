"""A process's rank among several, read from the environment that torchrun or Slurm sets."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import NamedTuple

from ..errors import UserError

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class RankInfo(NamedTuple):
    """A process's rank among several, and where they join.

    Args:
        rank: from 0 to ``number`` - 1.
        number: how many processes work together.
        local_rank: the rank among the processes of this machine.
        machine: a name that the processes of one machine, or of one torchrun, share.
        address: where the processes join, tcp://HOST:PORT.
        hosts: whether this process serves the address; if not, rank 0 or torchrun does.
        attempt: a name that tells these processes from others that used the same address before.
    """

    rank: int
    number: int
    local_rank: int
    machine: str
    address: str
    hosts: bool
    attempt: str = ""


def rank_from_env(environment: Mapping[str, str]) -> RankInfo | None:
    """This process's rank as set by torchrun or Slurm's srun; None if it was started alone.

    Raises:
        UserError: the environment is incomplete or has an invalid number.
    """
    environment = {**_from_slurm(environment), **environment}
    number = _whole(environment, "WORLD_SIZE") if "WORLD_SIZE" in environment else None
    if number == 1 or (number is None and "RANK" not in environment):
        return None
    missing = [name for name in VARIABLES if name not in environment]
    if missing:
        known = ", ".join(f"{name} {environment[name]}" for name in VARIABLES if name in environment)
        raise UserError(
            f"{known}: several processes also need {', '.join(missing)} in the environment; start them with torchrun "
            "or srun, which set all of these"
        )
    rank, number, local_rank, _ = (_whole(environment, name) for name in VARIABLES if name != "MASTER_ADDR")
    if not 0 <= rank < number:
        raise UserError(f"RANK is {rank}, but WORLD_SIZE is {number}: RANK must be from 0 to {number - 1}")
    machine = environment.get("GROUP_RANK") or environment.get("SLURM_NODEID") or socket.gethostname()
    address = f"tcp://{environment['MASTER_ADDR']}:{environment['MASTER_PORT']}"
    hosts = rank == 0 and environment.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    attempt = f"{environment.get('FASTREID_ATTEMPT', '')} {environment.get('TORCHELASTIC_RESTART_COUNT', '')}"
    return RankInfo(rank, number, local_rank, machine, address, hosts, attempt)


def _from_slurm(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that torchrun would set, for a task that srun has started."""
    number = environment.get("SLURM_STEP_NUM_TASKS", "1")
    if number == "1" or "RANK" in environment:
        return {}
    names = {"RANK": "SLURM_PROCID", "LOCAL_RANK": "SLURM_LOCALID"}
    found = {name: environment[slurm] for name, slurm in names.items() if slurm in environment}
    if "SLURM_STEP_NODELIST" in environment:
        # the first node of "rack[1-2]node[07-09,12],other" is rack1node07
        first = re.match(r"(\[[^\]]*\]|[^,\[])*", environment["SLURM_STEP_NODELIST"])
        found["MASTER_ADDR"] = re.sub(r"\[(\w+)[^\]]*\]", r"\1", first[0] if first else "")
    if "SLURM_JOB_ID" in environment:
        step = int(environment["SLURM_JOB_ID"]) + int(environment.get("SLURM_STEP_ID", 0))
        found["MASTER_PORT"] = str(20000 + step % 20000)
    return {"WORLD_SIZE": number, **found}


def _whole(environment: Mapping[str, str], name: str) -> int:
    if not environment[name].isdigit():
        raise UserError(f"{name} must be a whole number; got {environment[name]!r}")
    return int(environment[name])
