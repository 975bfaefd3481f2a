"""Loads a config file with overrides and checks it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from fastreid.config import CfgNode, get_cfg
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.modeling.backbones import BACKBONE_REGISTRY
from fastreid.modeling.heads import REID_HEADS_REGISTRY
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

from ..data import is_read_by
from ..data.own_names import settle_names, trains_and_tests
from ..data.readers import SingleShot
from ..errors import UserError
from ..registries import HOOK_REGISTRY
from .config_values import model_choices, out_of_bounds, samplers, training_choices
from .overrides import check_overrides

PACKAGE = Path(__file__).resolve().parent.parent


def shipped(path: str) -> Path:
    """The location of a file that the project ships, given its path in the repository; works when installed too."""
    installed = PACKAGE / "_shipped"
    return (installed if installed.is_dir() else PACKAGE.parent) / path


def find_file(path: str | Path) -> str:
    """``path`` if that file exists, else the shipped file of that name; "" if neither exists."""
    return next((str(place) for place in (Path(path), shipped(str(path))) if place.is_file()), "")


def find_config(config_file: str | Path) -> str:
    """The path of a config file; if it does not exist, the shipped file of that name.

    Raises:
        UserError: neither exists.
    """
    path = find_file(config_file)
    if path:
        return path
    if str(config_file) and Path(config_file).is_dir():
        raise UserError(f"--config-file {config_file} is a folder: name a config file in it; a run's is config.yaml")
    raise UserError(f"--config-file {str(config_file)!r} does not exist; try projects/GDNorm/configs/demo/gdnorm.yml")


def load_config(
    config_file: str | Path, overrides: Sequence[object] = (), has_data_sets: bool = True, trains: bool = False
) -> CfgNode:
    """Merge the config file and then the overrides (KEY, VALUE, ...) into fast-reid's defaults, and check the result.

    Args:
        has_data_sets: whether data sets will be read, so their names must be registered. Names of the user's own data
            are then settled (:func:`settle_names`).
        trains: whether the config will be trained, so the keys of training must be valid.

    Raises:
        UserError: the file does not exist, or a key, a type, a name or a number is wrong.
    """
    path = find_config(config_file)
    cfg = get_cfg()
    _merge(path, cfg.merge_from_file, path)
    check_overrides(overrides, [*(key for key, _ in flat(cfg)), *cfg.__dict__[CfgNode.DEPRECATED_KEYS]])
    _merge("the overrides KEY VALUE ...", cfg.merge_from_list, list(overrides))
    if has_data_sets:
        settle_names(cfg, [str(key) for key in overrides[::2]])
    _check_names(cfg, has_data_sets, trains)
    for line in out_of_bounds(cfg, trains):
        raise UserError(line)
    if trains and not cfg.DATASETS.TESTS:
        raise UserError("DATASETS.TESTS is empty, but a training ends with a test: name at least one target")
    _check_device(cfg.MODEL.DEVICE)
    for name in cfg.DATASETS.NAMES:
        if cfg.DATASETS.NAMES.count(name) > 1:
            raise UserError(f"DATASETS.NAMES lists {name} more than once: its people would count twice; list it once")
    for name in set(cfg.DATASETS.NAMES) & set(cfg.DATASETS.TESTS):
        if cfg.DATASETS.COMBINEALL or is_read_by(SingleShot, name) or trains_and_tests(cfg, name):
            raise UserError(
                f"{name} is in DATASETS.NAMES and TESTS: the model would train on its test images; remove it from one"
            )
    return cfg


def flat(cfg: CfgNode, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All (key, value) of a config, with keys as in overrides: A.B.C."""
    for key, value in cfg.items():
        if isinstance(value, CfgNode):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _merge(where: str, merge: Callable[[Any], None], what: object) -> None:
    try:
        merge(what)
    except OSError as error:
        base = "" if error.filename == where else f": its _BASE_ {error.filename}: put it there, or beside the config"
        raise UserError(f"{where}: {error.strerror}{base}") from error
    except RecursionError as error:
        raise UserError(f"{where}: its _BASE_ leads back to itself") from error
    except (AttributeError, TypeError) as error:
        raise UserError(f"{where}: it is not a YAML file of keys and values ({error})") from error
    except (KeyError, AssertionError, ValueError, yaml.YAMLError, UserError) as error:
        reason = error.args[0] if isinstance(error, KeyError) else error
        raise UserError(f"{where}: {' '.join(str(reason).split())}") from error


def _check_device(name: str) -> None:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"MODEL.DEVICE must be cpu, cuda or cuda:N; got {name!r}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"MODEL.DEVICE is {name}, but torch finds no CUDA device: set MODEL.DEVICE cpu")
    if device.type == "cuda" and (device.index or 0) >= (number := torch.cuda.device_count()):
        raise UserError(f"MODEL.DEVICE is {name}, but the last CUDA device is cuda:{number - 1}")


def _check_names(cfg: CfgNode, has_data_sets: bool, trains: bool) -> None:
    if cfg.TEST.METRIC == "jaccard":
        raise UserError(
            "TEST.METRIC must be cosine or euclidean; for the jaccard distance, set TEST.RERANK.ENABLED True"
        )
    in_registries = [
        ("DATASETS.NAMES", DATASET_REGISTRY._obj_map, cfg.DATASETS.NAMES),
        ("DATASETS.TESTS", DATASET_REGISTRY._obj_map, cfg.DATASETS.TESTS),
        ("DATALOADER.SAMPLER_TRAIN", samplers(), [cfg.DATALOADER.SAMPLER_TRAIN]),
        ("MODEL.META_ARCHITECTURE", META_ARCH_REGISTRY._obj_map, [cfg.MODEL.META_ARCHITECTURE]),
        ("MODEL.BACKBONE.NAME", BACKBONE_REGISTRY._obj_map, [cfg.MODEL.BACKBONE.NAME]),
        ("MODEL.GDNORM.BACKBONE", BACKBONE_REGISTRY._obj_map, [cfg.MODEL.GDNORM.BACKBONE]),
        ("MODEL.HEADS.NAME", REID_HEADS_REGISTRY._obj_map, [cfg.MODEL.HEADS.NAME]),
        ("SOLVER.HOOKS", HOOK_REGISTRY._obj_map, cfg.SOLVER.HOOKS),
    ]
    for key, known, names in in_registries if has_data_sets else in_registries[2:]:
        _check_known(key, known, names)
    for key, known, names in [*model_choices(cfg), *(training_choices(cfg) if trains else [])]:
        if known:
            _check_known(key, known, names)


def _check_known(key: str, known: Collection[str], names: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            known = sorted(known)
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else "choose from " + ", ".join(known)
            raise UserError(f"{key}: there is no {name!r}; {hint}")
