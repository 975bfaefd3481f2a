"""Patch of fastreid.engine.launch: the processes that it spawns run a patched fastreid."""

import sys

import torch

from ..errors import UserError
from .tools import source_has


def patch_launch():
    """The processes of several GPUs or machines import an unpatched fastreid; without CUDA a bare assert ends them."""
    module = sys.modules["fastreid.engine.launch"]  # fastreid.engine.launch itself is the function
    if source_has(module._distributed_worker, "assert torch.cuda.is_available()"):
        distributed_worker.stock = module._distributed_worker
        module._distributed_worker = distributed_worker


def distributed_worker(*args):
    """fastreid's own worker. To unpickle this one, a new process must import the plugin, which patches fastreid.

    Raises:
        UserError: there is no CUDA.
    """
    if not torch.cuda.is_available():
        raise UserError(
            "several processes need CUDA, which torch does not find here: use --num-gpus 1 --num-machines 1"
        )
    distributed_worker.stock(*args)
