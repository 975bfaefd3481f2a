"""What a test will need, checked before the first training step, as a training ends with a test."""

import inspect
import logging
import math
import os
from collections import defaultdict

from fastreid.data import common
from fastreid.engine import DefaultTrainer
from fastreid.evaluation import reid_evaluation
from fastreid.utils import comm

from ..data import read
from ..errors import UserError
from ..evaluation import check_matches, splits_of
from ..modeling import is_gdnorm
from ..modeling.path_names import posterior_place
from ..runs.cluster_env import started_place
from .bounded_ranking import is_fastreids

logger = logging.getLogger("fastreid.gdnorm.trainer")

METRICS = ("cosine", "euclidean", "jaccard")  # that stock's build_dist knows
DECODED = 4  # of a target's queries, and of its gallery


def check_before_training(trainer, cfg):
    """Raise UserError for a config that the class ``trainer`` cannot train or test with."""
    _check_processes(cfg)
    _check_test_path(cfg)
    check_tests(trainer, cfg)


def check_tests(trainer, cfg):
    """Raise UserError for what would end the test of a ``trainer`` that tests as stock does, whose class it is.

    A trainer with hooks or tests of its own may need other things, or test nothing: nothing is checked for it.

    Images have to be there; a few of each target, evenly spread, are also decoded.
    """
    if any(
        inspect.getattr_static(trainer, name) is not inspect.getattr_static(DefaultTrainer, name)
        for name in ("build_hooks", "test", "build_evaluator", "build_test_loader")
    ):
        return
    if cfg.DATASETS.TESTS and cfg.TEST.METRIC not in METRICS and is_fastreids(reid_evaluation.build_dist):
        raise UserError(f"TEST.METRIC is {cfg.TEST.METRIC!r}, it can be {' or '.join(METRICS[:2])}")
    for target in dict.fromkeys(cfg.DATASETS.TESTS):
        data = read(cfg, target)
        check_matches(target, splits_of(data))
        for items in (data.query, data.gallery):
            _check_images([item[0] for item in items])


def _check_images(paths):
    """Raise UserError for an image that is not there, or for one of a few that cannot be decoded."""
    by_folder = defaultdict(list)
    for path in paths:
        if isinstance(path, (str, os.PathLike)):  # else it is what a project's own read_image takes
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
            raise UserError(f"cannot read image {path} ({error}): replace it or take it away") from error


def check_schedule(solver, iters_per_epoch):
    """Raise UserError where stock would divide by zero: in an epoch without steps, or after a warm-up without end."""
    if not iters_per_epoch:
        raise UserError(
            f"DATASETS.NAMES have fewer images to train on than SOLVER.IMS_PER_BATCH {solver.IMS_PER_BATCH}: lower it"
        )
    warmup = math.ceil(solver.WARMUP_ITERS / iters_per_epoch)
    if solver.SCHED == "CosineAnnealingLR" and solver.MAX_EPOCH == warmup > solver.DELAY_EPOCHS:
        raise UserError(
            f"SOLVER.WARMUP_ITERS {solver.WARMUP_ITERS} takes all of SOLVER.MAX_EPOCH {solver.MAX_EPOCH}, with "
            f"{iters_per_epoch} steps each, and leaves nothing to SOLVER.SCHED CosineAnnealingLR: lower it"
        )


def _check_test_path(cfg):
    """Raise UserError where tests in between would go along a path through another checkpoint."""
    if is_gdnorm(cfg) and posterior_place(cfg.MODEL.GDNORM.TEST_PATH):
        raise UserError(
            f"MODEL.GDNORM.TEST_PATH {cfg.MODEL.GDNORM.TEST_PATH} is a path through a trained checkpoint: train with "
            "mean, then fastreid adapt"
        )


def _check_processes(cfg):
    """Raise UserError for what GDNorm cannot be trained by; say what several processes do otherwise than one."""
    processes = comm.get_world_size()
    if processes == 1 and is_gdnorm(cfg) and (place := started_place(os.environ)):
        raise UserError(
            f"{place.number} processes do not know each other: each would train a network of its own in the same "
            "OUTPUT_DIR. Start them by fastreid train, or by fastreid.engine.launch"
        )
    if processes == 1:
        return
    if cfg.SOLVER.IMS_PER_BATCH % processes:
        text = f"SOLVER.IMS_PER_BATCH {cfg.SOLVER.IMS_PER_BATCH} is of all processes: make it a multiple of {processes}"
        if is_gdnorm(cfg):
            raise UserError(text)
        logger.warning(text)
    if processes > cfg.TEST.IMS_PER_BATCH:
        raise UserError(f"TEST.IMS_PER_BATCH {cfg.TEST.IMS_PER_BATCH} is of all processes: make it {processes} or more")
    own = [key for key in ("BACKBONE", "HEADS") if cfg.MODEL[key].NORM == "BN"]
    if own:
        keys = " ".join(f"MODEL.{key}.NORM syncBN" for key in own)
        logger.warning("Each of %d processes normalises by its own images; as one process does: %s", processes, keys)
    if not cfg.SOLVER.GLOBAL_LOSSES and cfg.DATALOADER.DOMAIN_BATCH == "full":
        raise UserError("DATALOADER.DOMAIN_BATCH full takes SOLVER.GLOBAL_LOSSES True in several processes")
    if not cfg.SOLVER.GLOBAL_LOSSES:
        logger.warning("Losses are of each process's own images; as one process's: SOLVER.GLOBAL_LOSSES True")
