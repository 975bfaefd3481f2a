"""Population statistics of BN: averages over training images that are augmented as in training.

Stock BN's running statistics come from augmented images too. Statistics of unaugmented images fit unseen domains
worse, by up to 8 mAP (projects/GDNorm/results/recipe.md).
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from fastreid.config import CfgNode
from fastreid.data import build_reid_test_loader
from fastreid.data.transforms import build_transforms
from fastreid.utils import comm
from torch import Tensor, nn

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
    """Build one loader for each domain and a pooled one.

    A domain's loader yields its images in random order. The pooled loader's batches have equally many images of every
    domain, to within one. Each loader has at most TEST.PRECISE_BN.NUM_ITER batches of SOLVER.IMS_PER_BATCH images,
    shared equally among the processes. The order depends only on the images.
    """
    orders = []
    for domain in range(len(cfg.DATASETS.NAMES)):
        items = [item for item, k in zip(train_set.img_items, train_set.domains) if k == domain]
        orders.append([items[i] for i in np.random.default_rng(domain).permutation(len(items))])
    pooled = [item for one_per_domain in zip(*orders) for item in one_per_domain]
    return [_loader(cfg, items) for items in orders], _loader(cfg, pooled)


@torch.no_grad()
def estimate_branches(model: nn.Module, loaders: Sequence[Iterable[Any]]) -> None:
    """Set every branch's statistics to those of its domain's images along the domain path.

    Also sets every layer's image_scatter. A model without branches stays as it is.
    """
    for path in _measure_branches(model, loaders):
        path.keep()


@torch.no_grad()
def _measure_branches(model: nn.Module, loaders: Sequence[Iterable[Any]]) -> list[BranchStatisticsPath]:
    """Measure every branch's statistics without storing them, and set every layer's image_scatter."""
    layers = gdnorm_layers(model)
    share_statistics(model)
    paths = [BranchStatisticsPath(domain) for domain in range(len(loaders) if layers else 0)]
    for path, loader in zip(paths, loaders):
        for batch in loader:
            forward_along(model, batch, path)
    for layer in layers.values():
        bn = layer.branches[0]
        scatters = [path.images[layer].evidence_of_all_processes(bn.eps).scatter() for path in paths]
        layer.image_scatter = torch.stack(scatters).mean(0).to(cast("Tensor", bn.running_mean))
    return paths


@torch.no_grad()
def estimate_mean_path(model: nn.Module, loader: Iterable[Any]) -> None:
    """Set the statistics that all domains share to those of all domains' images along the mean path.

    These are the statistics of BN without branches (all BN of a stock model, the head's BN with MODEL.GDNORM.HEADS
    False) and, with MODEL.GDNORM.MEAN_OF path, of the mean path itself.
    """
    branches = {bn for layer in gdnorm_layers(model).values() for bn in layer.branches}
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m not in branches]
    norms = [bn for bn in norms if bn.track_running_stats]
    mean_of = getattr(model, "mean_of", "affine")
    pooled = PooledPath() if mean_of == "path" else None
    path = pooled or MeanPath(mean_of)
    if norms or pooled:
        with _averaging(norms):
            for batch in loader:
                forward_along(model, batch, path)
    if pooled:
        pooled.keep()


def complete_paths(cfg: CfgNode, model: nn.Module) -> None:
    """Estimate the statistics that ``model``'s test paths need and lack, from the images of DATASETS.NAMES.

    - The branches' statistics, if the model was trained without branches, so all of its branches are equal, and a
      path other than the mean path is tested.
    - The mean path's own statistics, for MODEL.GDNORM.MEAN_OF path.
    - How much images vary, for TEST_PATH instance.

    BN without branches keeps its statistics.
    """
    layers = gdnorm_layers(model)
    paths = [path for path in getattr(model, "test_paths", ()) if not isinstance(path, (PosteriorPath, CameraPaths))]
    uses_branches = any(not isinstance(path, MeanPath) for path in paths)
    lacks_branches = uses_branches and len(cfg.DATASETS.NAMES) > 1 and branches_agree(model)
    uses_scatter = any(isinstance(path, InstancePath) for path in paths)
    lacks_scatter = uses_scatter and any(layer.image_scatter is None for layer in layers.values())
    uses_mean_path = any(isinstance(path, MeanPath) and path.of == "path" for path in paths)
    lacks_mean_path = uses_mean_path and any(layer.path_mean is None for layer in layers.values())
    if not (lacks_branches or lacks_scatter or lacks_mean_path):
        return
    logger.info("Estimating statistics for MODEL.GDNORM.TEST_PATH from %s", ", ".join(cfg.DATASETS.NAMES))
    loaders, pooled = domain_loaders(cfg, DomainDataset(read_sources(cfg, combineall=cfg.DATASETS.COMBINEALL)))
    with evaluating(model):
        if lacks_branches:
            estimate_branches(model, loaders)
        elif lacks_scatter:
            _measure_branches(model, loaders)
        if lacks_mean_path:
            with keeping_statistics(model):
                estimate_mean_path(model, pooled)


@contextlib.contextmanager
def _averaging(norms: Sequence[nn.modules.batchnorm._BatchNorm]) -> Iterator[None]:
    """Make BN layers use batch statistics, over all processes, and keep their plain average over batches."""
    momenta = [bn.momentum for bn in norms]
    for bn in norms:
        start_average(bn)
        if comm.get_world_size() > 1:
            bn.forward = functools.partial(synchronized_batch_norm, [bn])  # type: ignore[method-assign]
    try:
        yield
    finally:
        for bn, momentum in zip(norms, momenta):
            bn.momentum = momentum
            bn.eval()
            vars(bn).pop("forward", None)


def _loader(cfg: CfgNode, items: list[Any]) -> Any:
    processes = comm.get_world_size()
    batch_size = cfg.SOLVER.IMS_PER_BATCH // processes * processes
    num_batches = min(len(items) // batch_size, cfg.TEST.PRECISE_BN.NUM_ITER)
    items = items[: num_batches * batch_size or len(items) - len(items) % processes]
    # fast-reid's sampler gives each process consecutive images: order them so that these are its parts of the batches
    batches = np.arange(len(items)).reshape(max(num_batches, 1), processes, -1)
    items = [items[i] for i in batches.transpose(1, 0, 2).flatten()]
    images = RepeatableImages(items, build_transforms(cfg, is_train=True), relabel=True)
    loader, _ = build_reid_test_loader(
        images, test_batch_size=batch_size, num_query=0, num_workers=cfg.DATALOADER.NUM_WORKERS
    )
    return on_device(loader, cfg)
