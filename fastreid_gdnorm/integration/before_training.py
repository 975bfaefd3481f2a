"""What training and its final test need, checked before the first step."""

from __future__ import annotations

import inspect
import logging
import math
import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from fastreid.config import CfgNode
from fastreid.data import common
from fastreid.engine import DefaultTrainer
from fastreid.evaluation import reid_evaluation
from fastreid.utils import comm

from ..data import read
from ..errors import UserError
from ..evaluation import check_matches, splits_of
from ..modeling import is_gdnorm
from ..modeling.path_names import posterior_place
from ..runs.cluster_env import rank_from_env
from .bounded_ranking import is_fastreids

logger = logging.getLogger("fastreid.gdnorm.trainer")

METRICS = ("cosine", "euclidean", "jaccard")  # the metrics of stock's build_dist
DECODED = 4  # images to decode of a target's queries, and of its gallery


def check_before_training(trainer: type, cfg: CfgNode) -> None:
    """Raise UserError for a config that the class ``trainer`` cannot train or test with."""
    _check_processes(cfg)
    _check_test_path(cfg)
    check_tests(trainer, cfg)


def check_tests(trainer: type, cfg: CfgNode) -> None:
    """Raise UserError if a test would fail, for a ``trainer`` class that tests as stock does.

    All images must exist. A few of each target, evenly spread, are also decoded. Nothing is checked for a trainer with
    its own hooks or tests, which may need other things.
    """
    if any(
        inspect.getattr_static(trainer, name) is not inspect.getattr_static(DefaultTrainer, name)
        for name in ("build_hooks", "test", "build_evaluator", "build_test_loader")
    ):
        return
    if cfg.DATASETS.TESTS and cfg.TEST.METRIC not in METRICS and is_fastreids(reid_evaluation.build_dist):
        raise UserError(f"TEST.METRIC must be {' or '.join(METRICS[:2])}; got {cfg.TEST.METRIC!r}")
    for target in dict.fromkeys(cfg.DATASETS.TESTS):
        data = read(cfg, target)
        check_matches(target, splits_of(data))
        for items in (data.query, data.gallery):
            _check_images([item[0] for item in items])


def _check_images(paths: Sequence[Any]) -> None:
    """Raise UserError if an image is missing, or if one of a few cannot be decoded."""
    by_folder: dict[Any, list[Any]] = defaultdict(list)
    for path in paths:
        if isinstance(path, (str, os.PathLike)):  # a project's own read_image may take other things
            by_folder[os.path.dirname(path)].append(path)
    missing = []
    for folder, inside in by_folder.items():
        names = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        missing += [path for path in inside if os.path.basename(path) not in names and not os.path.exists(path)]
    for path in [*missing[:1], *paths[:: max(1, len(paths) // DECODED)]]:
        try:
            common.read_image(path)
        except UserError:
            raise
        except Exception as error:  # Pillow raises all kinds for damaged files
            raise UserError(f"cannot read image {path} ({error}): replace or remove it") from error


def check_schedule(solver: CfgNode, iters_per_epoch: int) -> None:
    """Raise UserError where stock would divide by zero: an epoch has no steps, or the warm-up takes all epochs."""
    if not iters_per_epoch:
        raise UserError(
            f"DATASETS.NAMES have fewer images to train on than SOLVER.IMS_PER_BATCH {solver.IMS_PER_BATCH}: lower it"
        )
    warmup = math.ceil(solver.WARMUP_ITERS / iters_per_epoch)
    if solver.SCHED == "CosineAnnealingLR" and solver.MAX_EPOCH == warmup > solver.DELAY_EPOCHS:
        raise UserError(
            f"SOLVER.WARMUP_ITERS {solver.WARMUP_ITERS} takes all of SOLVER.MAX_EPOCH {solver.MAX_EPOCH}, with "
            f"{iters_per_epoch} steps each, and leaves nothing for SOLVER.SCHED CosineAnnealingLR: lower it"
        )


def _check_test_path(cfg: CfgNode) -> None:
    """Raise UserError if the tests during training would follow a path through another checkpoint."""
    if is_gdnorm(cfg) and posterior_place(cfg.MODEL.GDNORM.TEST_PATH):
        raise UserError(
            f"MODEL.GDNORM.TEST_PATH {cfg.MODEL.GDNORM.TEST_PATH} is a path through a trained checkpoint: train with "
            "mean, then run fastreid adapt"
        )


def _check_processes(cfg: CfgNode) -> None:
    """Raise UserError if these processes cannot train; warn of how their training differs from one process's."""
    processes = comm.get_world_size()
    if processes == 1 and is_gdnorm(cfg) and (info := rank_from_env(os.environ)):
        raise UserError(
            f"{info.number} processes are not connected: each would train its own network in the same OUTPUT_DIR. "
            "Start them with fastreid train, or with fastreid.engine.launch"
        )
    if processes == 1:
        return
    if cfg.SOLVER.IMS_PER_BATCH % processes:
        text = (
            f"SOLVER.IMS_PER_BATCH {cfg.SOLVER.IMS_PER_BATCH} counts the images of all processes: make it a multiple "
            f"of {processes}"
        )
        if is_gdnorm(cfg):
            raise UserError(text)
        logger.warning(text)
    if processes > cfg.TEST.IMS_PER_BATCH:
        raise UserError(
            f"TEST.IMS_PER_BATCH {cfg.TEST.IMS_PER_BATCH} counts the images of all processes: set it to at least "
            f"{processes}"
        )
    own = [key for key in ("BACKBONE", "HEADS") if cfg.MODEL[key].NORM == "BN"]
    if own:
        keys = " ".join(f"MODEL.{key}.NORM syncBN" for key in own)
        logger.warning(
            "Each of %d processes normalises over its own images; to normalise over all images, set %s", processes, keys
        )
    if not cfg.SOLVER.GLOBAL_LOSSES and cfg.DATALOADER.DOMAIN_BATCH == "full":
        raise UserError("DATALOADER.DOMAIN_BATCH full needs SOLVER.GLOBAL_LOSSES True in several processes")
    if not cfg.SOLVER.GLOBAL_LOSSES:
        logger.warning(
            "Each process computes its losses over its own images; to use all images, set SOLVER.GLOBAL_LOSSES True"
        )
