"""The device on which a loader returns its batches."""

from __future__ import annotations

from fastreid.config import CfgNode
from fastreid.data.data_utils import DataLoaderX


def on_device(loader: DataLoaderX, cfg: CfgNode) -> DataLoaderX:
    """Make a DataLoaderX return its batches on the CPU if MODEL.DEVICE is cpu, even on a machine with CUDA."""
    if cfg.MODEL.DEVICE == "cpu":
        loader.stream = None
    return loader
