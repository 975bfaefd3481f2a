"""The valid values of fast-reid's keys, read from fast-reid's code where that lists them."""

from __future__ import annotations

import ast
import inspect
import math
import re
import textwrap
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch
from fastreid.config import CfgNode
from fastreid.data import build as data_build
from fastreid.layers import any_softmax, pooling
from fastreid.layers.batch_norm import get_norm
from fastreid.modeling.backbones import BACKBONE_REGISTRY
from fastreid.modeling.heads import REID_HEADS_REGISTRY
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.solver import build as solver_build
from fastreid.solver import lr_scheduler
from torch import nn

from ..registries import SAMPLER_REGISTRY

Choices = tuple[str, Collection[str], Sequence[str]]  # key, valid values, the config's values
# in torch.optim, but abstract, or in need of a closure, sparse gradients or matrices
UNUSABLE_OPTIMIZERS = ("Optimizer", "LBFGS", "SparseAdam", "Muon")

# (lowest, highest); None: no bound
ABOVE_ZERO = math.nextafter(0, 1) if hasattr(math, "nextafter") else 5e-324
ONE_OR_MORE, ZERO_OR_MORE, SHARE = (1, None), (0, None), (0, 1)
TEST_BOUNDS = {
    "DATALOADER.NUM_WORKERS": ZERO_OR_MORE,
    "TEST.IMS_PER_BATCH": ONE_OR_MORE,
    "TEST.RERANK.K1": ONE_OR_MORE,
    "TEST.RERANK.K2": ONE_OR_MORE,
    "TEST.RERANK.LAMBDA": SHARE,
    "TEST.AQE.QE_TIME": ONE_OR_MORE,
    "TEST.AQE.QE_K": ONE_OR_MORE,
    "MODEL.HEADS.EMBEDDING_DIM": ZERO_OR_MORE,
    "MODEL.HEADS.NUM_CLASSES": ZERO_OR_MORE,
    "MODEL.GDNORM.LAMBDA": ZERO_OR_MORE,
}
TRAINING_BOUNDS = {
    "SOLVER.MAX_EPOCH": ONE_OR_MORE,
    "SOLVER.IMS_PER_BATCH": ONE_OR_MORE,
    "SOLVER.CHECKPOINT_PERIOD": ONE_OR_MORE,
    "TEST.EVAL_PERIOD": ONE_OR_MORE,
    "TEST.PRECISE_BN.NUM_ITER": ONE_OR_MORE,
    "DATALOADER.NUM_INSTANCE": ONE_OR_MORE,
    "SOLVER.WARMUP_ITERS": ZERO_OR_MORE,
    "SOLVER.DELAY_EPOCHS": ZERO_OR_MORE,
    "SOLVER.FREEZE_ITERS": ZERO_OR_MORE,
    "SOLVER.BASE_LR": (ABOVE_ZERO, None),
    "SOLVER.GAMMA": (ABOVE_ZERO, None),
    "SOLVER.HEADS_LR_FACTOR": ZERO_OR_MORE,
    "SOLVER.BIAS_LR_FACTOR": ZERO_OR_MORE,
    "SOLVER.WEIGHT_DECAY": ZERO_OR_MORE,
    "SOLVER.WEIGHT_DECAY_NORM": ZERO_OR_MORE,
    "SOLVER.WEIGHT_DECAY_BIAS": ZERO_OR_MORE,
    "SOLVER.MOMENTUM": SHARE,
    "SOLVER.ETA_MIN_LR": ZERO_OR_MORE,
    "SOLVER.WARMUP_FACTOR": ZERO_OR_MORE,
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": (ABOVE_ZERO, None),
    "INPUT.PADDING.SIZE": ZERO_OR_MORE,
    **{f"INPUT.{name}.PROB": SHARE for name in ("FLIP", "CJ", "AUTOAUG", "AUGMIX", "REA", "RPT")},
    **{f"MODEL.LOSSES.{name}.SCALE": ZERO_OR_MORE for name in ("CE", "FL", "TRI", "CIRCLE", "COSFACE")},
}


def model_choices(cfg: CfgNode) -> Iterator[Choices]:
    """The choices for the model and its test that are not in registries."""
    norms = _lookup_keys(get_norm, "norm")
    neck = cfg.MODEL.HEADS.WITH_BNNECK or cfg.MODEL.HEADS.NORM
    yield "MODEL.BACKBONE.DEPTH", _depths(_backbone(cfg)), [cfg.MODEL.BACKBONE.DEPTH]
    yield "MODEL.BACKBONE.NORM", norms, [cfg.MODEL.BACKBONE.NORM]
    yield "MODEL.HEADS.NORM", norms, [cfg.MODEL.HEADS.NORM] if neck else []
    yield "MODEL.HEADS.POOL_LAYER", _modules(pooling), [cfg.MODEL.HEADS.POOL_LAYER]
    yield "MODEL.HEADS.CLS_LAYER", _modules(any_softmax), [cfg.MODEL.HEADS.CLS_LAYER]
    head = _source(REID_HEADS_REGISTRY.get(cfg.MODEL.HEADS.NAME))
    yield "MODEL.HEADS.NECK_FEAT", re.findall(r"neck_feat == ['\"](\w+)", head), [cfg.MODEL.HEADS.NECK_FEAT]
    yield "TEST.METRIC", ("cosine", "euclidean"), [cfg.TEST.METRIC]
    yield "TEST.RANKING", ("bounded", "stock"), [cfg.TEST.RANKING]


def training_choices(cfg: CfgNode) -> Iterator[Choices]:
    """The further choices for training."""
    optimizers = [name for name, kind in vars(torch.optim).items() if _is_a(kind, torch.optim.Optimizer)]
    yield "SOLVER.OPT", set(optimizers) - set(UNUSABLE_OPTIMIZERS), [cfg.SOLVER.OPT]
    schedules = re.findall(r'"(\w+)": \{\s+"optimizer"', _source(solver_build.build_lr_scheduler))
    yield "SOLVER.SCHED", schedules, [cfg.SOLVER.SCHED]
    methods = re.findall(r'method == "(\w+)"', _source(lr_scheduler._get_warmup_factor_at_epoch))
    yield "SOLVER.WARMUP_METHOD", methods, [cfg.SOLVER.WARMUP_METHOD]
    clip_types = [kind.value for kind in solver_build.GradientClipType]
    yield "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", clip_types, [cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE]
    yield "INPUT.PADDING.MODE", ("constant", "edge", "reflect", "symmetric"), [cfg.INPUT.PADDING.MODE]
    yield "MODEL.LOSSES.NAME", _losses(META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)), cfg.MODEL.LOSSES.NAME


def samplers() -> list[str]:
    """The valid values of DATALOADER.SAMPLER_TRAIN."""
    stock = re.findall(r'sampler_name == "(\w+)"', _source(data_build._train_loader_from_config))
    return [*SAMPLER_REGISTRY._obj_map, *stock]


def out_of_bounds(cfg: CfgNode, trains: bool) -> Iterator[str]:
    """One line for each number that is out of bounds."""
    for key, (low, high) in {**TEST_BOUNDS, **(TRAINING_BOUNDS if trains else {})}.items():
        value: Any = cfg
        for name in key.split("."):
            value = value.get(name)
        if not (value >= low and value <= (math.inf if high is None else high)):  # true for NaN
            bounds = "above 0" if low == ABOVE_ZERO else f"{low} or more" if high is None else f"from {low} to {high}"
            yield f"{key} must be {bounds}; got {value}"
    for key in ("INPUT.SIZE_TEST", *(["INPUT.SIZE_TRAIN"] if trains else [])):
        size = cfg.INPUT[key.split(".")[1]]
        is_whole = len(size) in (1, 2) and all(type(pixels) is int for pixels in size)
        keeps_size = is_whole and size[0] < 1 and cfg.INPUT.CROP.ENABLED  # cropping gives all images one size
        if not is_whole or (min(size) < 1 and not keeps_size):
            yield f"{key} must be [height, width] in whole pixels; got {size}"
    mean, std = cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD
    if not (len(mean) == len(std) and len(std) in (1, 3) and min(std) > 0):
        yield f"MODEL.PIXEL_MEAN {mean} and MODEL.PIXEL_STD {std} must have one number per channel, STD above 0"
    if trains and not cfg.MODEL.LOSSES.NAME:
        yield "MODEL.LOSSES.NAME is empty, so nothing would be trained: name a loss"


def _backbone(cfg: CfgNode) -> str:
    name = cfg.MODEL.BACKBONE.NAME
    return str(cfg.MODEL.GDNORM.BACKBONE if name == "build_gdnorm_backbone" else name)


def _depths(backbone: str) -> set[str]:
    builder = inspect.unwrap(BACKBONE_REGISTRY.get(backbone))
    depths = _lookup_keys(builder, "depth")
    if not depths and builder.__module__.startswith("fastreid."):  # these compare the depth elsewhere in the module
        depths.update(re.findall(r"(?:arch|model_size) == ['\"]([\w.]+)", _source(inspect.getmodule(builder))))
    return depths


def _losses(meta_arch: Any) -> set[str]:
    """The losses of a meta-architecture of fast-reid or this plugin; empty for others, whose losses are unknown."""
    if not inspect.isclass(meta_arch) or not getattr(meta_arch, "losses", meta_arch).__module__.startswith("fastreid"):
        return set()
    sources = (_source(vars(kind).get("losses")) for kind in inspect.getmro(meta_arch))
    return {name for source in sources for name in re.findall(r"['\"](\w+)['\"] in loss_names", source)}


def _lookup_keys(function: Any, variable: str) -> set[str]:
    """The keys common to all dictionaries in which ``function`` looks up ``variable``; empty if it has none."""
    nodes = list(ast.walk(ast.parse(textwrap.dedent(_source(inspect.unwrap(function))))))
    named = {
        target.id: node.value
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    tables: list[set[str]] = []
    for node in nodes:
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Name) and node.slice.id == variable:
            table = named.get(node.value.id) if isinstance(node.value, ast.Name) else node.value
            if isinstance(table, ast.Dict):
                tables.append({str(key.value) for key in table.keys if isinstance(key, ast.Constant)})
    return set.intersection(*tables) if tables else set()


def _modules(module: Any) -> list[str]:
    return [name for name, kind in vars(module).items() if _is_a(kind, nn.Module)]


def _is_a(kind: Any, base: type) -> bool:
    return inspect.isclass(kind) and issubclass(kind, base)


def _source(what: Any) -> str:
    try:
        return inspect.getsource(what)
    except (OSError, TypeError):  # no source is available, as for a class defined in a notebook
        return ""
