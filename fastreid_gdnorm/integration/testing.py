"""fast-reid's tests: splits, an average over targets, result files."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from fastreid.config import CfgNode
from fastreid.data import CommDataset, build
from fastreid.engine import DefaultTrainer
from fastreid.evaluation import ReidEvaluator
from fastreid.evaluation.testing import flatten_results_dict
from fastreid.utils import comm
from torch.nn.parallel import DistributedDataParallel

from ..config import completed
from ..data import is_read_by, number_test_set, read
from ..data.readers import SingleShot
from ..evaluation import (
    TRANSDUCTIVE,
    SplitEvaluator,
    SplitResults,
    add_average,
    check_matches,
    splits_of,
    summary_table,
)
from ..layers import gdnorm_layers
from ..layers.running_statistics import keeping_statistics, share_statistics
from ..modeling.chosen_paths import CameraPaths, camera_label
from ..modeling.posterior_files import image_digests, load_posterior
from ..runs.results import save_test_results
from ..runs.run_checkpoints import posterior_files
from ..training.population_statistics import complete_paths

logger = logging.getLogger("fastreid.gdnorm.test")


def connect() -> None:
    """Test a data set on each of its splits, if any, and write test_results.csv and test_results.json after every test.

    A trainer can have its own evaluators, which may return other metrics for each target, or none. They get identities
    and cameras as the data set has them. Only fast-reid's own evaluator, which needs integers, gets text numbered.
    """
    stock_evaluator, stock_test = DefaultTrainer.build_evaluator.__func__, DefaultTrainer.test.__func__

    @functools.wraps(stock_evaluator)
    def build_evaluator(cls: Any, cfg: CfgNode, dataset_name: str, output_dir: str | None = None) -> Any:
        if not is_read_by(SingleShot, dataset_name):
            loader, evaluator = stock_evaluator(cls, cfg, dataset_name, output_dir)
            if type(evaluator) is ReidEvaluator and type(loader.dataset) is CommDataset:
                number_test_set(loader.dataset, evaluator._num_query)
                items, queries = loader.dataset.img_items, evaluator._num_query
                check_matches(dataset_name, [(items[:queries], items[queries:])])
            return loader, evaluator
        cfg = completed(cfg)
        of_split_0, _ = cls.build_test_loader(cfg, dataset_name)  # a trainer may have its own transforms
        data = read(cfg, dataset_name)
        images = CommDataset(data.images, of_split_0.dataset.transform, relabel=False)
        loader, _ = build.build_reid_test_loader(cfg, test_set=images)
        check_matches(dataset_name, splits_of(data))
        return loader, SplitEvaluator(cfg, data.splits, output_dir)

    @functools.wraps(stock_test)
    def test(cls: Any, cfg: CfgNode, model: Any) -> Any:
        cfg = completed(cfg)
        model = model.module if isinstance(model, DistributedDataParallel) else model
        complete_paths(cfg, model)
        restores = gdnorm_layers(model) or comm.get_world_size() > 1  # otherwise a test's own changes stay, as in stock
        with keeping_statistics(model) if restores else contextlib.nullcontext():
            share_statistics(model)  # each process may have its own; a checkpoint has the main process's
            results = stock_test(cls, cfg, model)
        if comm.is_main_process():
            targets = list(dict.fromkeys(cfg.DATASETS.TESTS))
            by_target = {targets[0]: results} if len(targets) == 1 else results  # as stock returns them
            add_average(by_target)
            _mark_transductive(cfg, model, by_target)
            _log_cameras(cfg, model)
            tested = {target: _numbers(target, metrics) for target, metrics in by_target.items()}
            if any(isinstance(metrics, SplitResults) for metrics in tested.values()):
                logger.info("Summary, mean ± standard deviation over splits:\n%s", summary_table(tested))
            if cfg.OUTPUT_DIR and any(tested.values()):
                save_test_results(tested, cfg.OUTPUT_DIR)
                logger.info("Results in %s: test_results.csv, test_results.json", cfg.OUTPUT_DIR)
        return results

    DefaultTrainer.build_evaluator, DefaultTrainer.test = classmethod(build_evaluator), classmethod(test)


def _numbers(target: str, metrics: Any) -> Any:
    """The metrics that are numbers, nested ones under "name/name", as in fast-reid's evaluation hook."""
    if isinstance(metrics, SplitResults):
        return metrics
    flat, numbers = flatten_results_dict(metrics), OrderedDict()
    for name, value in flat.items():
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
            numbers[name] = float(value)
    others = ", ".join(name for name in flat if name not in numbers)
    if others:
        logger.warning("%s: not in test_results, because not a number: %s", target, others)
    return numbers


def _mark_transductive(cfg: CfgNode, model: Any, by_target: Mapping[str, Any]) -> None:
    """After a test at a site, add to every target's results the share of its images that the model was adapted to."""
    adapted_to = {image for file in posterior_files(cfg) for image in load_posterior(file).images.tolist()}
    if hasattr(model, "camera_offsets"):
        adapted_to.update(model.camera_offsets.pictures.tolist())
    for target in cfg.DATASETS.TESTS if adapted_to else ():
        data = read(cfg, target)
        tested = image_digests([item[0] for item in data.query + data.gallery]).tolist()
        share = by_target[target][TRANSDUCTIVE] = 100 * sum(image in adapted_to for image in tested) / len(tested)
        if share:
            logger.warning(
                "%s: transductive, because the model was adapted to %.0f %% of the tested images",
                target,
                share,
            )


def _log_cameras(cfg: CfgNode, model: Any) -> None:
    """After a test that uses cameras, log for every target how many images used their own camera's path or offset."""
    by_paths = [path for path in getattr(model, "test_paths", ()) if isinstance(path, CameraPaths)]
    for by_cameras in [model.camera_offsets] if hasattr(model, "camera_offsets") else by_paths:
        for target in cfg.DATASETS.TESTS:
            data = read(cfg, target)
            cameras = [camera_label(item[0], item[2]) for item in data.query + data.gallery]
            logger.info("%s: %s", target, by_cameras.cameras.usage(cameras))
