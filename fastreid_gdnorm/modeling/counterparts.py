"""Pairs of meta-architectures: a stock one, and the same with GDNorm branches."""

from __future__ import annotations

from fastreid.config import CfgNode
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

from ..errors import UserError
from .meta_arch import GDNormTraining, is_gdnorm


def branched(cfg: CfgNode) -> CfgNode:
    """``cfg`` itself if its model has branches, else a copy with a branch in every BN for each of DATASETS.NAMES.

    A checkpoint of ``cfg`` loads into every branch. If each branch needs the statistics of its own source, the caller
    must measure them.

    Raises:
        UserError: the meta-architecture of ``cfg`` has no counterpart with GDNorm.
    """
    if is_gdnorm(cfg):
        return cfg
    ours = {
        stock_name(kind): name
        for name, kind in META_ARCH_REGISTRY._obj_map.items()
        if isinstance(kind, type) and issubclass(kind, GDNormTraining)
    }
    if cfg.MODEL.META_ARCHITECTURE not in ours:
        known = ", ".join(sorted(ours))
        raise UserError(
            f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE} has no branches and cannot get any; use {known}"
        )
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.META_ARCHITECTURE = ours[cfg.MODEL.META_ARCHITECTURE]
    cfg.MODEL.GDNORM.HEADS = True
    cfg.TEST.PRECISE_BN.ENABLED = False
    return cfg


def stock_name(kind: type) -> str:
    """The name of the registered meta-architecture that ``kind`` mixes GDNorm into.

    Raises:
        UserError: it is not registered in fast-reid.
    """
    registered = META_ARCH_REGISTRY._obj_map
    for base in kind.__mro__:
        if registered.get(base.__name__) is base and not issubclass(base, GDNormTraining):
            return str(base.__name__)
    raise UserError(f"{kind.__name__} is mixed into a meta-architecture that is not registered in fast-reid")
