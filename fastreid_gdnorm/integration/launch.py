"""The seam at fast-reid's launch, by which upstream's train_net.py starts its processes: they are ours.

Stock's import an unpatched fastreid, and a bare assert ends them where there is no CUDA.
"""

import functools
import sys

import fastreid.engine
from fastreid.config import get_cfg

from ..runs.processes import Processes, launch


def connect():
    """Scripts that call ``launch`` join what torchrun or Slurm has started, and may have several processes on a CPU."""
    module = sys.modules["fastreid.engine.launch"]  # fastreid.engine.launch itself is the function
    stock = module.launch

    @functools.wraps(stock)
    def launch_ours(main_func, num_gpus_per_machine, num_machines=1, machine_rank=0, dist_url="auto", args=()):
        processes = Processes(num_gpus_per_machine, num_machines, machine_rank, dist_url or "auto")
        launch(main_func, processes, _device(args), args)

    fastreid.engine.launch = module.launch = launch_ours


def _device(args):
    """MODEL.DEVICE, as the command line says it that upstream's scripts pass on: config_file, and opts."""
    cfg, words = get_cfg(), args[0] if args else None
    if getattr(words, "config_file", ""):
        cfg.merge_from_file(words.config_file)
    cfg.merge_from_list(getattr(words, "opts", None) or [])
    return cfg.MODEL.DEVICE
