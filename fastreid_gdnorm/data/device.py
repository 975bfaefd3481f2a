"""Where a loader leaves its batches."""

from __future__ import annotations

from fastreid.config import CfgNode
from fastreid.data.data_utils import DataLoaderX


def on_device(loader: DataLoaderX, cfg: CfgNode) -> DataLoaderX:
    """A DataLoaderX whose batches stay on the CPU if MODEL.DEVICE is there, also on a machine with CUDA."""
    if cfg.MODEL.DEVICE == "cpu":
        loader.stream = None
    return loader
