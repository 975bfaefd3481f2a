"""What a path through a trained model amounts to in stock fast-reid: a config and a model."""

from __future__ import annotations

import copy

from fastreid.config import CfgNode
from fastreid.engine import DefaultTrainer
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from torch import nn

from ..config import remove_gdnorm_config
from ..errors import UserError
from ..layers import MeanPath, fold_gdnorm
from ..layers.paths import AffinePath
from ..modeling import is_gdnorm
from ..modeling.counterparts import stock_name
from ..modeling.path_names import parse_test_path


def path_to_fold(cfg: CfgNode, path: str) -> AffinePath:
    """The path that ``--path`` names; a model without GDNorm has the mean path alone.

    Raises:
        UserError: it has no such path, or ``path`` is several, or another one for each image.
    """
    if not is_gdnorm(cfg):
        return MeanPath()
    paths = parse_test_path(path, cfg)
    if len(paths) > 1:
        raise UserError(f"--path {path} is {len(paths)} networks in one: export each source:K, or mean")
    (folded,) = paths
    if not isinstance(folded, AffinePath):
        raise UserError(f"--path {path} goes by the image and cannot be folded: export mean, or a posterior:FILE")
    return folded


def stock_config(cfg: CfgNode) -> CfgNode:
    """The config of the folded model, which fast-reid reads where the plugin is not installed.

    Raises:
        UserError: fast-reid does not have the meta-architecture that GDNorm was mixed into.
    """
    stock = cfg.clone()
    stock.defrost()
    if is_gdnorm(cfg):
        stock.MODEL.META_ARCHITECTURE = stock_name(META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE))
    if cfg.MODEL.BACKBONE.NAME == "build_gdnorm_backbone":
        stock.MODEL.BACKBONE.NAME = cfg.MODEL.GDNORM.BACKBONE
    stock.MODEL.BACKBONE.PRETRAIN, stock.MODEL.WEIGHTS = False, ""
    stock.KD.MODEL_CONFIG, stock.KD.MODEL_WEIGHTS = [], []
    # the plugin's readers are not there either: which data sets are tested is for whoever loads this
    stock.DATASETS.NAMES = stock.DATASETS.TESTS = ()
    stock.OUTPUT_DIR = "logs/exported"
    remove_gdnorm_config(stock)
    return stock


def stock_model(stock_cfg: CfgNode, model: nn.Module, path: AffinePath) -> nn.Module:
    """The model of a :func:`stock_config`, in eval mode on CPU, with the weights of ``model`` folded along ``path``."""
    folded = fold_gdnorm(copy.deepcopy(model), path)
    stock: nn.Module = DefaultTrainer.build_model(on_cpu(stock_cfg))
    stock.load_state_dict(folded.state_dict())
    return stock.eval()


def on_cpu(cfg: CfgNode) -> CfgNode:
    """A copy with MODEL.DEVICE cpu, where all of an export is done."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = "cpu"
    return cfg
