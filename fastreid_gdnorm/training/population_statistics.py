"""Population statistics of BN, averaged over training images, augmented as in training.

So are the running statistics of stock BN. Those of images as a test prepares them fit unseen domains worse, by up to
8 mAP (projects/GDNorm/results/recipe.md).
"""

from __future__ import annotations

import contextlib
import functools
import logging
from typing import Any

import numpy as np
import torch
from fastreid.config import CfgNode
from fastreid.data import build_reid_test_loader
from fastreid.data.transforms import build_transforms
from fastreid.utils import comm
from torch import nn

from ..data import DomainDataset, read_sources
from ..data.device import on_device
from ..layers import (
    BranchStatisticsPath,
    InstancePath,
    MeanPath,
    PooledPath,
    PosteriorPath,
    forward_along,
    gdnorm_layers,
)
from ..layers.distributed import synchronized_batch_norm
from ..layers.eval_mode import evaluating
from ..layers.posterior_path import branches_agree
from ..layers.running_statistics import keeping_statistics, share_statistics, start_average
from ..modeling.chosen_paths import CameraPaths
from .training_images import RepeatableImages

logger = logging.getLogger("fastreid.gdnorm.statistics")


def domain_loaders(cfg: CfgNode, train_set: DomainDataset) -> tuple[list[Any], Any]:
    """For every domain a loader of its images in random order, and one with as many of each in a batch, to within one.

    Each has at the most TEST.PRECISE_BN.NUM_ITER batches of SOLVER.IMS_PER_BATCH images, of which every process has an
    equal part. The order depends on nothing but the images.

    Args:
        train_set: a DomainDataset.
    """
    orders = []
    for domain in range(len(cfg.DATASETS.NAMES)):
        items = [item for item, k in zip(train_set.img_items, train_set.domains) if k == domain]
        orders.append([items[i] for i in np.random.default_rng(domain).permutation(len(items))])
    pooled = [item for of_each_domain in zip(*orders) for item in of_each_domain]
    return [_loader(cfg, items) for items in orders], _loader(cfg, pooled)


@torch.no_grad()
def estimate_branches(model, loaders):
    """Give every branch, if there are any, the statistics that its domain's images have along the domain path.

    Also gives every layer its image_scatter.
    """
    for path in _along_branches(model, loaders):
        path.keep()


@torch.no_grad()
def _along_branches(model, loaders):
    """Take every branch's statistics without giving it them, and give every layer its image_scatter."""
    layers = gdnorm_layers(model)
    share_statistics(model)
    paths = [BranchStatisticsPath(domain) for domain in range(len(loaders) if layers else 0)]
    for path, loader in zip(paths, loaders):
        for batch in loader:
            forward_along(model, batch, path)
    for layer in layers.values():
        bn = layer.branches[0]
        scatters = [path.images[layer].evidence_of_all_processes(bn.eps).scatter() for path in paths]
        layer.image_scatter = torch.stack(scatters).mean(0).to(bn.running_mean)
    return paths


@torch.no_grad()
def estimate_mean_path(model, loader):
    """Give whatever has one set of statistics for all domains those that all domains' images have on the mean path.

    These are BN without branches (all of a stock model, a head's with MODEL.GDNORM.HEADS False) and, with
    MODEL.GDNORM.MEAN_OF path, the mean path itself.
    """
    branches = {bn for layer in gdnorm_layers(model).values() for bn in layer.branches}
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m not in branches]
    norms = [bn for bn in norms if bn.track_running_stats]
    mean_of = getattr(model, "mean_of", "affine")
    path = PooledPath() if mean_of == "path" else MeanPath(mean_of)
    if norms or mean_of == "path":
        with _averaging(norms):
            for batch in loader:
                forward_along(model, batch, path)
    if mean_of == "path":
        path.keep()


def complete_paths(cfg: CfgNode, model: nn.Module) -> None:
    """Take from DATASETS.NAMES what ``model``'s test paths lack, if they lack anything.

    - the branches' statistics, if the checkpoint was trained without branches, so that all of them agree, and a path
      is not the same for that (as the mean path is);
    - the mean path's own statistics (MODEL.GDNORM.MEAN_OF path);
    - how images vary (TEST_PATH instance).

    BN without branches keeps what it has.
    """
    layers = gdnorm_layers(model)
    paths = [path for path in getattr(model, "test_paths", ()) if not isinstance(path, (PosteriorPath, CameraPaths))]
    by_branches = any(not isinstance(path, MeanPath) for path in paths)
    agree = by_branches and len(cfg.DATASETS.NAMES) > 1 and branches_agree(model)
    by_scatter = any(isinstance(path, InstancePath) for path in paths)
    by_scatter = by_scatter and any(layer.image_scatter is None for layer in layers.values())
    by_own = any(isinstance(path, MeanPath) and path.of == "path" for path in paths)
    by_own = by_own and any(layer.path_mean is None for layer in layers.values())
    if not (agree or by_scatter or by_own):
        return
    logger.info("Taking statistics for MODEL.GDNORM.TEST_PATH from %s", ", ".join(cfg.DATASETS.NAMES))
    loaders, pooled = domain_loaders(cfg, DomainDataset(read_sources(cfg, combineall=cfg.DATASETS.COMBINEALL)))
    with evaluating(model):
        if agree:
            estimate_branches(model, loaders)
        elif by_scatter:
            _along_branches(model, loaders)
        if by_own:
            with keeping_statistics(model):
                estimate_mean_path(model, pooled)


@contextlib.contextmanager
def _averaging(norms):
    """BN that takes batch statistics, of all processes' batches, and keeps their plain average over batches."""
    momenta = [bn.momentum for bn in norms]
    for bn in norms:
        start_average(bn)
        if comm.get_world_size() > 1:
            bn.forward = functools.partial(synchronized_batch_norm, [bn])
    try:
        yield
    finally:
        for bn, momentum in zip(norms, momenta):
            bn.momentum = momentum
            bn.eval()
            vars(bn).pop("forward", None)


def _loader(cfg, items):
    processes = comm.get_world_size()
    batch_size = cfg.SOLVER.IMS_PER_BATCH // processes * processes
    num_batches = min(len(items) // batch_size, cfg.TEST.PRECISE_BN.NUM_ITER)
    items = items[: num_batches * batch_size or len(items) - len(items) % processes]
    # the toolbox's sampler gives a process consecutive images: here its part of each batch
    batches = np.arange(len(items)).reshape(max(num_batches, 1), processes, -1)
    items = [items[i] for i in batches.transpose(1, 0, 2).flatten()]
    images = RepeatableImages(items, build_transforms(cfg, is_train=True), relabel=True)
    loader, _ = build_reid_test_loader(
        images, test_batch_size=batch_size, num_query=0, num_workers=cfg.DATALOADER.NUM_WORKERS
    )
    return on_device(loader, cfg)
