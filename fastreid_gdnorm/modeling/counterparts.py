"""Which meta-architecture with branches goes by a stock one, and which stock one by one with branches."""

from __future__ import annotations

from fastreid.config import CfgNode
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

from ..errors import UserError
from .meta_arch import GDNormTraining, is_gdnorm


def branched(cfg: CfgNode) -> CfgNode:
    """``cfg`` itself if its model has branches, else a copy in which every BN gets one for each of DATASETS.NAMES.

    A checkpoint of ``cfg`` loads into every branch; that their statistics become their sources' is up to whoever needs
    it.

    Raises:
        UserError: there is no meta-architecture with GDNorm that goes by the one of ``cfg``.
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
            f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE} has no branches, and is none of {known}, which can "
            "be given some"
        )
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.META_ARCHITECTURE = ours[cfg.MODEL.META_ARCHITECTURE]
    cfg.MODEL.GDNORM.HEADS = True
    cfg.TEST.PRECISE_BN.ENABLED = False
    return cfg


def stock_name(kind: type) -> str:
    """The registered meta-architecture that GDNorm was mixed into.

    Raises:
        UserError: it is not registered in fast-reid.
    """
    registered = META_ARCH_REGISTRY._obj_map
    for base in kind.__mro__:
        if registered.get(base.__name__) is base and not issubclass(base, GDNormTraining):
            return str(base.__name__)
    raise UserError(f"{kind.__name__} is mixed into a meta-architecture that is not registered in fast-reid")
