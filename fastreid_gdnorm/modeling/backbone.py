"""The backbone builder build_gdnorm_backbone: a stock backbone whose BN layers have branches."""

from __future__ import annotations

from fastreid.config import CfgNode
from fastreid.modeling.backbones import BACKBONE_REGISTRY
from torch import nn

from ..config import completed
from ..errors import UserError
from ..layers import convert_gdnorm, gdnorm_layers


def build_gdnorm_backbone(cfg: CfgNode) -> nn.Module:
    """Build MODEL.GDNORM.BACKBONE, and give every BN a branch for each of DATASETS.NAMES.

    Pretrained weights are loaded before the conversion, so every branch starts with them.

    Raises:
        UserError: the backbone has no BN, or a BN that cannot be branched.
    """
    cfg = completed(cfg)
    backbone = BACKBONE_REGISTRY.get(cfg.MODEL.GDNORM.BACKBONE)(cfg)
    return convert(backbone, cfg, cfg.MODEL.BACKBONE.NORM, "MODEL.GDNORM.BACKBONE " + cfg.MODEL.GDNORM.BACKBONE)


def convert(module: nn.Module, cfg: CfgNode, norm: str, what: str) -> nn.Module:
    """Call :func:`convert_gdnorm` with the number of branches that ``cfg`` asks for.

    Args:
        norm: the key NORM of this part of the model. "syncBN" synchronizes all layers, even those that some backbones,
            such as MobileNetV2, create without looking at the key.
        what: what errors call the module.
    """
    try:
        converted = convert_gdnorm(module, len(cfg.DATASETS.NAMES))
    except ValueError as error:
        raise UserError(f"{what} cannot be converted to GDNorm: {error}") from error
    for layer in gdnorm_layers(converted).values():
        layer.synchronized = norm == "syncBN"
    return converted
