"""Patches of several processes: on a CPU, where fastreid and torch take them to have CUDA; and with NORM syncBN."""

import functools
import warnings

from torch import nn

from ..layers import gdnorm_layers
from ..layers.distributed import SynchronizedBatchNorm
from .tools import rebind


def patch_ddp():
    """The trainer's ``DistributedDataParallel`` is told a CUDA device, and takes no ``SyncBatchNorm`` on a CPU."""
    from fastreid.engine import defaults

    class OnAnyDevice(nn.parallel.DistributedDataParallel):
        def __init__(self, module, device_ids=None, **kwargs):
            if next(module.parameters()).device.type == "cpu":
                device_ids = None
                for norm in module.modules():
                    if isinstance(norm, nn.SyncBatchNorm):
                        norm.__class__ = SynchronizedBatchNorm  # the same parameters, as the optimizer knows them
            with warnings.catch_warnings():  # torch 2.14's, of the name of an argument that the trainer gives
                warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)
                super().__init__(module, device_ids=device_ids, **kwargs)

    defaults.DistributedDataParallel = OnAnyDevice


def patch_hard_coded_norms():
    """Some backbones, MobileNetV2 among them, have BN that asks no NORM: with syncBN a part would be synchronised."""
    from fastreid import modeling
    from fastreid.modeling import backbones
    from fastreid.modeling.backbones import build
    from fastreid.modeling.meta_arch import baseline, mgn

    stock_build = build.build_backbone

    @functools.wraps(stock_build)
    def build_backbone(cfg):
        backbone = stock_build(cfg)
        if cfg.MODEL.BACKBONE.NORM == "syncBN" and not gdnorm_layers(backbone):
            backbone = nn.SyncBatchNorm.convert_sync_batchnorm(backbone)
        return backbone

    rebind("build_backbone", build_backbone, build, backbones, modeling, baseline, mgn)
