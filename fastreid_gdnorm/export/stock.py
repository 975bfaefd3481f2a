"""Turn a path through a trained model into stock fast-reid's config and model."""

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
    """The path named by ``--path``; a model without GDNorm has only the mean path.

    Raises:
        UserError: there is no such path, or it cannot be folded because it runs several networks or depends on the
            image.
    """
    if not is_gdnorm(cfg):
        return MeanPath()
    paths = parse_test_path(path, cfg)
    if len(paths) > 1:
        raise UserError(f"--path {path} runs {len(paths)} networks: export each source:N, or mean")
    (folded,) = paths
    if not isinstance(folded, AffinePath):
        raise UserError(f"--path {path} depends on the image and cannot be folded: export mean, or a posterior:FILE")
    return folded


def stock_config(cfg: CfgNode) -> CfgNode:
    """The config of the folded model, which fast-reid can read without the plugin.

    Raises:
        UserError: the meta-architecture has no counterpart in stock fast-reid.
    """
    stock = cfg.clone()
    stock.defrost()
    if is_gdnorm(cfg):
        stock.MODEL.META_ARCHITECTURE = stock_name(META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE))
    if cfg.MODEL.BACKBONE.NAME == "build_gdnorm_backbone":
        stock.MODEL.BACKBONE.NAME = cfg.MODEL.GDNORM.BACKBONE
    stock.MODEL.BACKBONE.PRETRAIN, stock.MODEL.WEIGHTS = False, ""
    stock.KD.MODEL_CONFIG, stock.KD.MODEL_WEIGHTS = [], []
    # Stock fast-reid lacks the plugin's readers, so whoever loads this config chooses the data sets.
    stock.DATASETS.NAMES = stock.DATASETS.TESTS = ()
    stock.OUTPUT_DIR = "logs/exported"
    remove_gdnorm_config(stock)
    return stock


def stock_model(stock_cfg: CfgNode, model: nn.Module, path: AffinePath) -> nn.Module:
    """Build the model of a :func:`stock_config`, on CPU in eval mode, with ``model`` folded along ``path``."""
    folded = fold_gdnorm(copy.deepcopy(model), path)
    stock: nn.Module = DefaultTrainer.build_model(on_cpu(stock_cfg))
    stock.load_state_dict(folded.state_dict())
    return stock.eval()


def on_cpu(cfg: CfgNode) -> CfgNode:
    """A copy of the config with MODEL.DEVICE cpu; exports run on the CPU."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = "cpu"
    return cfg
