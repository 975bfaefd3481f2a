"""Patch of fastreid.engine.launch: spawned processes have fastreid patched before they import it."""

import sys

import torch

from ..errors import UserError
from .tools import source_has


def patch_launch():
    """The processes of several GPUs or machines import fastreid unpatched, and assert that there is CUDA."""
    module = sys.modules["fastreid.engine.launch"]  # by that name fastreid.engine has the function
    if source_has(module._distributed_worker, "assert torch.cuda.is_available()"):
        distributed_worker.stock = module._distributed_worker
        module._distributed_worker = distributed_worker


def distributed_worker(*args):
    """fastreid's own, in a module that a new process cannot unpickle without importing the plugin, which patches all.

    Raises:
        UserError: there is no CUDA, which the stock one asserts.
    """
    if not torch.cuda.is_available():
        raise UserError(
            "several processes need CUDA, which torch does not find here: use --num-gpus 1 --num-machines 1"
        )
    distributed_worker.stock(*args)
