"""Replaces fast-reid's ``launch``, with which upstream's train_net.py starts processes.

Stock's processes import an unpatched fast-reid, and without CUDA they end with a bare assert.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import fastreid.engine
from fastreid.config import CfgNode, get_cfg

from ..runs.cluster_env import rank_from_env
from ..runs.launcher import Processes, launch


def connect() -> None:
    """Scripts that call ``launch`` can have several processes on a CPU, and join those of torchrun or Slurm."""
    module: Any = sys.modules["fastreid.engine.launch"]  # fastreid.engine.launch is the function
    stock = module.launch

    @functools.wraps(stock)
    def launch_processes(
        main_func: Callable[..., Any],
        num_gpus_per_machine: int,
        num_machines: int = 1,
        machine_rank: int = 0,
        dist_url: str | None = "auto",
        args: Any = (),
    ) -> None:
        args = tuple(args)
        processes = Processes(num_gpus_per_machine, num_machines, machine_rank, dist_url or "auto")
        several = processes.number > 1 or rank_from_env(os.environ)
        launch(main_func, processes, _device(args) if several else "", args)

    fastreid.engine.launch = module.launch = launch_processes


def _device(args: tuple[Any, ...]) -> str:
    """MODEL.DEVICE in the arguments of a script's main function, or the default.

    The arguments can be anything: a config, what fast-reid's argument parser returns, or neither. The config may have
    the script's own keys, and mistakes that the script reports.
    """
    ways: tuple[Callable[[Any], Any], ...] = (lambda arg: arg.MODEL.DEVICE, _overridden, _in_file)
    for arg in args:
        for device in ways:
            with contextlib.suppress(Exception):
                return str(device(arg)).strip("\"'")
    return str(get_cfg().MODEL.DEVICE)


def _overridden(arg: Any) -> Any:
    words = list(arg.opts)
    return dict(zip(words[::2], words[1::2]))["MODEL.DEVICE"]


def _in_file(arg: Any) -> Any:
    return CfgNode.load_yaml_with_base(arg.config_file)["MODEL"]["DEVICE"]
