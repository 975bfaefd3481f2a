"""The seam at fast-reid's launch, by which upstream's train_net.py starts its processes: they are ours.

Stock's import an unpatched fastreid, and a bare assert ends them where there is no CUDA.
"""

import contextlib
import functools
import os
import sys

import fastreid.engine
from fastreid.config import CfgNode, get_cfg

from ..runs.cluster_env import started_place
from ..runs.launcher import Processes, launch


def connect():
    """Scripts that call ``launch`` join what torchrun or Slurm has started, and may have several processes on a CPU."""
    module = sys.modules["fastreid.engine.launch"]  # fastreid.engine.launch itself is the function
    stock = module.launch

    @functools.wraps(stock)
    def launch_ours(main_func, num_gpus_per_machine, num_machines=1, machine_rank=0, dist_url="auto", args=()):
        args = tuple(args)
        processes = Processes(num_gpus_per_machine, num_machines, machine_rank, dist_url or "auto")
        several = processes.number > 1 or started_place(os.environ)
        launch(main_func, processes, _device(args) if several else "", args)

    fastreid.engine.launch = module.launch = launch_ours


def _device(args):
    """MODEL.DEVICE as far as the arguments of a script's main function tell it, else the default.

    They may be anything: a config, what fast-reid's argument parser gives, or neither. Keys that the script adds to its
    config are none of ours, and a mistake in it is for the script to report.
    """
    for arg in args:
        for told in (lambda arg: arg.MODEL.DEVICE, _overridden, _in_file):
            with contextlib.suppress(Exception):
                return str(told(arg)).strip("\"'")
    return get_cfg().MODEL.DEVICE


def _overridden(arg):
    words = list(arg.opts)
    return dict(zip(words[::2], words[1::2]))["MODEL.DEVICE"]


def _in_file(arg):
    return CfgNode.load_yaml_with_base(arg.config_file)["MODEL"]["DEVICE"]
