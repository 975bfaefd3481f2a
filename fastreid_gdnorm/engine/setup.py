"""From a config file and overrides to a checked config."""

import difflib
from pathlib import Path

import torch
import yaml
from fastreid.config import get_cfg
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.modeling.backbones import BACKBONE_REGISTRY
from fastreid.modeling.heads import REID_HEADS_REGISTRY
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

from ..errors import UserError

PACKAGE = Path(__file__).resolve().parent.parent


def shipped(path):
    """The place of one of the project's own configs, named as in its repository, in a checkout or an installation."""
    installed = PACKAGE / "_shipped"
    return (installed if installed.is_dir() else PACKAGE.parent) / path


def load_config(config_file, overrides=()):
    """fast-reid's defaults, the config file and then the overrides (KEY, VALUE, KEY, VALUE, ...).

    A file that is not there is looked for among the project's own.

    Raises:
        UserError: no such file, key, type or name.
    """
    path = Path(config_file)
    if not config_file or not path.is_file():
        path = shipped(config_file)
    if not path.is_file():
        raise UserError(f"--config-file {config_file!r} is not found; try projects/GDNorm/configs/demo/gdnorm.yml")
    cfg = get_cfg()
    _merge(str(path), cfg.merge_from_file, str(path))
    _merge("the overrides KEY VALUE ...", cfg.merge_from_list, list(overrides))
    _check_names(cfg)
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"MODEL.DEVICE is {cfg.MODEL.DEVICE}, but torch finds no CUDA here: set MODEL.DEVICE cpu")
    return cfg


def _merge(where, merge, what):
    try:
        merge(what)
    except (KeyError, AssertionError, ValueError, TypeError, OSError, yaml.YAMLError) as error:
        reason = " ".join(str(error.args[0] if error.args else error).split())
        raise UserError(f"{where}: {reason}") from error


def _check_names(cfg):
    named = [
        ("DATASETS.NAMES", DATASET_REGISTRY, cfg.DATASETS.NAMES),
        ("DATASETS.TESTS", DATASET_REGISTRY, cfg.DATASETS.TESTS),
        ("MODEL.META_ARCHITECTURE", META_ARCH_REGISTRY, [cfg.MODEL.META_ARCHITECTURE]),
        ("MODEL.BACKBONE.NAME", BACKBONE_REGISTRY, [cfg.MODEL.BACKBONE.NAME]),
        ("MODEL.GDNORM.BACKBONE", BACKBONE_REGISTRY, [cfg.MODEL.GDNORM.BACKBONE]),
        ("MODEL.HEADS.NAME", REID_HEADS_REGISTRY, [cfg.MODEL.HEADS.NAME]),
    ]
    for key, registry, names in named:
        known = sorted(registry._obj_map)
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                meant = f"did you mean {near[0]}?" if near else "known are " + ", ".join(known)
                raise UserError(f"{key}: there is no {name!r}; {meant}")
