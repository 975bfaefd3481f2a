"""MODEL.BACKBONE.NAME build_gdnorm_backbone: a stock backbone whose BN layers have branches."""

from __future__ import annotations

from fastreid.config import CfgNode
from fastreid.modeling.backbones import BACKBONE_REGISTRY
from torch import nn

from ..config import completed
from ..errors import UserError
from ..layers import convert_gdnorm, gdnorm_layers


def build_gdnorm_backbone(cfg: CfgNode) -> nn.Module:
    """MODEL.GDNORM.BACKBONE with a branch for each of DATASETS.NAMES in every BN.

    The conversion comes after its pretrained weights are loaded, so that these are in every branch.

    Raises:
        UserError: the backbone has no BN, or one that cannot be branched.
    """
    cfg = completed(cfg)
    backbone = BACKBONE_REGISTRY.get(cfg.MODEL.GDNORM.BACKBONE)(cfg)
    return convert(backbone, cfg, cfg.MODEL.BACKBONE.NORM, "MODEL.GDNORM.BACKBONE " + cfg.MODEL.GDNORM.BACKBONE)


def convert(module: nn.Module, cfg: CfgNode, norm: str, what: str) -> nn.Module:
    """:func:`convert_gdnorm` to the branches that ``cfg`` asks for.

    Args:
        norm: NORM of the module's part of ``cfg``. With "syncBN" all layers are synchronized, also those that some
            backbones, MobileNetV2 among them, make without asking it.
        what: names the module in errors.
    """
    try:
        converted = convert_gdnorm(module, len(cfg.DATASETS.NAMES))
    except ValueError as error:
        raise UserError(f"{what} does not take GDNorm: {error}") from error
    for layer in gdnorm_layers(converted).values():
        layer.synchronized = norm == "syncBN"
    return converted
