"""Patches of training in several processes: on CPUs, and with NORM syncBN."""

from __future__ import annotations

import functools
import warnings
from typing import Any

from torch import nn

from ..layers import gdnorm_layers
from ..layers.distributed import SynchronizedBatchNorm
from .tools import rebind


def patch_ddp() -> None:
    """``DistributedDataParallel`` is given a CUDA device also on a CPU, where ``SyncBatchNorm`` fails too."""
    from fastreid.engine import defaults

    class OnAnyDevice(nn.parallel.DistributedDataParallel):
        def __init__(self, module: nn.Module, device_ids: Any = None, **kwargs: Any) -> None:
            if next(module.parameters()).device.type == "cpu":
                device_ids = None
                for norm in module.modules():
                    if isinstance(norm, nn.SyncBatchNorm):
                        # the parameters stay the same objects: the optimizer holds them
                        norm.__class__ = SynchronizedBatchNorm  # type: ignore[assignment]
            with warnings.catch_warnings():  # torch 2.14 warns of an argument that the trainer passes
                warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)
                super().__init__(module, device_ids=device_ids, **kwargs)

    defaults.DistributedDataParallel = OnAnyDevice


def patch_hard_coded_norms() -> None:
    """Some backbones, such as MobileNetV2, ignore NORM in part of their BN, so syncBN synchronises only the rest."""
    from fastreid import modeling
    from fastreid.modeling import backbones
    from fastreid.modeling.backbones import build
    from fastreid.modeling.meta_arch import baseline, mgn

    stock_build = build.build_backbone

    @functools.wraps(stock_build)
    def build_backbone(cfg: Any) -> Any:
        backbone = stock_build(cfg)
        if cfg.MODEL.BACKBONE.NORM == "syncBN" and not gdnorm_layers(backbone):  # GDNorm synchronises itself
            backbone = nn.SyncBatchNorm.convert_sync_batchnorm(backbone)
        return backbone

    rebind("build_backbone", build_backbone, build, backbones, modeling, baseline, mgn)
