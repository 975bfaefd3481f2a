"""What a test will need, checked before the first training step, as a training ends with a test."""

import inspect
import os
from collections import defaultdict

from fastreid.data import common
from fastreid.engine import DefaultTrainer
from fastreid.evaluation import reid_evaluation

from ..data import read
from ..errors import UserError
from ..evaluation import check_matches, splits_of
from .bounded_ranking import is_fastreids

METRICS = ("cosine", "euclidean", "jaccard")  # that stock's build_dist knows
DECODED = 4  # of a target's queries, and of its gallery


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
