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
        launch(main_func, processes, get_cfg().MODEL.DEVICE, args)

    fastreid.engine.launch = module.launch = launch_ours
