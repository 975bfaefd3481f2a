"""fast-reid's loaders: domains in every training batch, registered samplers, variants of data sets.

Images become batches with the same numbers and layout as in stock, in fewer passes over the pixels.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import cv2
import fastreid.data
import numpy as np
import torch
from fastreid.config import CfgNode
from fastreid.data import CommDataset, build
from fastreid.data.transforms import build as transforms_build
from fastreid.data.transforms import build_transforms
from fastreid.engine import defaults
from fastreid.utils import comm

from ..config import completed
from ..data import ColorJitter, DomainDataset, datasets_root, is_read_by, numbered, read, read_sources
from ..data.device import on_device
from ..data.readers import Reader
from ..errors import UserError
from ..modeling import is_gdnorm
from ..patches.tools import Overlay
from ..registries import SAMPLER_REGISTRY

IMAGES_A_WORKER = 500  # a process takes longer to start than to load fewer images


def connect() -> None:
    """Give every training batch its ``domains``, take samplers from the registry, and tell readers their variant.

    Data sets are read from FASTREID_DATASETS as it is when the loader is built. Batches go to MODEL.DEVICE. Stock tests
    with four processes; small tests here take fewer.
    """
    for name, prepare in ("build_reid_train_loader", _train_set_and_sampler), ("build_reid_test_loader", _test_set):
        build_loader = _from_config(getattr(build, name), prepare)
        for module in (build, fastreid.data, defaults):  # they import it from each other
            setattr(module, name, build_loader)
    transforms_build.T = Overlay(transforms_build.T, ColorJitter=ColorJitter)
    functional: Any = importlib.import_module("fastreid.data.transforms.functional")
    transforms: Any = importlib.import_module("fastreid.data.transforms.transforms")
    functional.to_tensor = transforms.to_tensor = _to_tensor(functional.to_tensor)
    build.fast_batch_collator = collate


stock_collate = build.fast_batch_collator  # ``connect`` replaces the one in ``build``


def collate(items: list[Any]) -> Any:
    """Equals fast-reid's ``fast_batch_collator``, which adds every tensor to zeros, but stacks tensors at once."""
    first = items[0]
    if isinstance(first, torch.Tensor) and all(
        (item.shape, item.dtype) == (first.shape, first.dtype) for item in items
    ):
        return torch.stack(items)
    return stock_collate(items)


def _to_tensor(stock: Callable[..., Any]) -> Callable[..., Any]:
    """``stock``, but RGB images take one pass."""

    @functools.wraps(stock)
    def to_tensor(pic: Any) -> Any:
        if getattr(pic, "mode", "") != "RGB":
            return stock(pic)
        return torch.from_numpy(np.array(cv2.split(np.asarray(pic)), np.float32))

    return to_tensor


def _from_config(
    stock: Callable[..., Any], prepare: Callable[..., tuple[CfgNode, dict[str, Any]]]
) -> Callable[..., Any]:
    """``stock``, with ``prepare`` before it in calls with a config; all other calls go to stock as they are.

    Args:
        prepare: function (cfg, **arguments of the call) -> (cfg, arguments) for stock.
    """

    @functools.wraps(stock)
    def build_loader(*args: Any, **kwargs: Any) -> Any:
        if "cfg" in kwargs:
            args = (kwargs.pop("cfg"), *args)
        if not (args and isinstance(args[0], CfgNode)):
            return stock(*args, **kwargs)
        cfg, arguments = prepare(completed(args[0]), *args[1:], **kwargs)
        root, build._root = build._root, datasets_root()  # stock reads FASTREID_DATASETS only on import
        try:
            built = stock(cfg, **arguments)
        finally:
            build._root = root
        if isinstance(built, tuple):  # a test loader and its number of queries
            loader, _ = built
            loader.num_workers = min(loader.num_workers, len(loader.dataset) // IMAGES_A_WORKER)
        else:
            loader = built
        on_device(loader, cfg)
        return built

    return build_loader


def _train_set_and_sampler(
    cfg: CfgNode, *, train_set: Any = None, transforms: Any = None, sampler: Any = None, **reader: Any
) -> tuple[CfgNode, dict[str, Any]]:
    if train_set is None:
        sources = read_sources(cfg, **reader)
        train_set = DomainDataset(sources, transforms or build_transforms(cfg, is_train=True))
    name = cfg.DATALOADER.SAMPLER_TRAIN
    if sampler is None and name in SAMPLER_REGISTRY._obj_map:
        sampler = SAMPLER_REGISTRY.get(name).from_config(cfg, train_set)
    elif sampler is None:
        _check_sampler(cfg)
        if name in ("NaiveIdentitySampler", "BalancedIdentitySampler"):
            _check_identities(cfg, train_set)
        if name == "SetReWeightSampler":
            _check_set_weights(cfg)
    return _with_whole_batch(cfg), {"train_set": train_set, "sampler": sampler}


def _with_whole_batch(cfg: CfgNode) -> CfgNode:
    """``cfg`` with SOLVER.IMS_PER_BATCH set to the size of a whole training batch, for any DATALOADER.DOMAIN_BATCH."""
    domain_batch, sampler = cfg.DATALOADER.DOMAIN_BATCH, cfg.DATALOADER.SAMPLER_TRAIN
    if domain_batch not in ("mixed", "full"):
        raise UserError(f"DATALOADER.DOMAIN_BATCH must be mixed or full; got {domain_batch!r}")
    if domain_batch == "full" and sampler != "DomainBalancedIdentitySampler":
        raise UserError(
            "DATALOADER.DOMAIN_BATCH full, a batch of every domain, needs DATALOADER.SAMPLER_TRAIN "
            f"DomainBalancedIdentitySampler, not {sampler}"
        )
    if domain_batch == "mixed":
        return cfg
    cfg = cfg.clone()
    cfg.defrost()
    cfg.SOLVER.IMS_PER_BATCH *= len(cfg.DATASETS.NAMES)
    return cfg


def _check_sampler(cfg: CfgNode) -> None:
    """Raise UserError for GDNorm with one of fast-reid's own samplers, which ignore domains."""
    if is_gdnorm(cfg) and len(cfg.DATASETS.NAMES) > 1:
        raise UserError(
            f"DATALOADER.SAMPLER_TRAIN {cfg.DATALOADER.SAMPLER_TRAIN} may give a source a single identity in a batch, "
            "from which its branch learns nothing: set DATALOADER.SAMPLER_TRAIN DomainBalancedIdentitySampler"
        )


def _check_identities(cfg: CfgNode, train_set: Any) -> None:
    """Raise UserError for a batch that cannot be made: fast-reid's own samplers would search for it forever."""
    images, instances = cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE
    identities = len({item[1] for item in train_set.img_items})  # as the samplers count them
    if images % instances or identities < images // instances:
        raise UserError(
            f"SOLVER.IMS_PER_BATCH {images} must be a multiple of DATALOADER.NUM_INSTANCE {instances} and need no "
            f"more identities than the training set has, {identities}"
        )


def _check_set_weights(cfg: CfgNode) -> None:
    """Raise UserError for a batch that stock's SetReWeightSampler cannot divide among the data sets."""
    images, instances, weights = cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE, cfg.DATALOADER.SET_WEIGHT
    share = sum(weights) * instances
    if share <= 0 or images % share or images <= share:
        raise UserError(
            f"SOLVER.IMS_PER_BATCH {images} must be a multiple of DATALOADER.NUM_INSTANCE {instances} times the sum of "
            f"DATALOADER.SET_WEIGHT {weights}, and at least twice that; each of DATASETS.NAMES needs a weight above 0"
        )


def _test_set(
    cfg: CfgNode, *, dataset_name: str | None = None, test_set: Any = None, transforms: Any = None, **others: Any
) -> tuple[CfgNode, dict[str, Any]]:
    if test_set is not None or dataset_name is None:
        return cfg, {"dataset_name": dataset_name, "test_set": test_set, "transforms": transforms, **others}
    data = read(cfg, dataset_name, **others)
    if is_read_by(Reader, dataset_name) and not data.query:
        raise UserError(f"DATASETS.TESTS: {dataset_name} has no queries and is for training only: name another target")
    if comm.is_main_process():
        data.show_test()
    transforms = transforms or build_transforms(cfg, is_train=False)
    try:
        test_set = CommDataset(data.query + data.gallery, transforms, relabel=False)
    except TypeError:  # it cannot sort identities of several types, such as None and text
        query, gallery = numbered(data.query, data.gallery)
        test_set = CommDataset(query + gallery, transforms, relabel=False)
    return cfg, {"test_set": test_set, "num_query": len(data.query)}
