"""Tests one model along many paths: each source's, the mean, the ensemble and samples of the Gaussian process."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import statistics
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from fastreid.config import CfgNode
from fastreid.utils import comm
from tqdm import tqdm

from ..errors import UserError
from ..layers.eval_mode import evaluating
from ..modeling.path_names import parse_test_path
from .kept_images import KeptTest
from .metrics import HEADLINE

Record = dict[str, Any]
KEY = itemgetter("target", "path", "lambda")  # identifies a record


def sweep(model: Any, cfg: CfgNode, file: Path, samples: int, lambdas: Sequence[float]) -> list[Record]:
    """Test ``model`` on DATASETS.TESTS along every path, with fast-reid's own evaluation.

    A sampled path has the noise of one seed, 0 to ``samples`` - 1, at one lambda, as ``fastreid eval --path
    sample:SEED MODEL.GDNORM.LAMBDA L`` does. Every result is appended to ``file`` as soon as it is measured; paths
    that the file already has are skipped. The model keeps its mode and its ``test_paths``. Several processes share
    the paths, and each returns the whole list.

    Returns:
        a list of {"target", "path", "lambda" (None except for samples), metrics, "seconds_per_batch"}.

    Raises:
        UserError: ``file`` is not a record of a path sweep.
    """
    paths = plan(len(cfg.DATASETS.NAMES), samples, lambdas)
    wanted = [(target, *path) for target in cfg.DATASETS.TESTS for path in paths]
    found = comm.all_gather(read_records(file) if comm.is_main_process() else None)[0]
    if comm.is_main_process() and file.is_file():
        os.truncate(file, len(_whole_lines(file)))
    comm.synchronize()
    done = {KEY(record): record for record in found}
    todo = [key for key in wanted if key not in done]
    own = todo[comm.get_rank() :: comm.get_world_size()]
    silent = None if comm.is_main_process() else True
    bar = tqdm(own, "paths", initial=len(wanted) - len(own), total=len(wanted), disable=silent)
    with _as_one_process(), evaluating(model), _keeping_paths(model), _quiet(), open(file, "a") as lines, bar:
        for target, keys in itertools.groupby(bar, key=itemgetter(0)):
            test = _Test(model, cfg, target)
            for key in keys:
                bar.set_postfix_str(f"{target} {key[1]}")
                done[key] = test.along(*key[1:])
                lines.write(json.dumps(done[key]) + "\n")
                lines.flush()
    for found_by_process in comm.all_gather(done):
        done.update(found_by_process)
    return [done[key] for key in wanted]


def plan(sources: int, samples: int, lambdas: Sequence[float]) -> list[tuple[str, float | None]]:
    """(TEST_PATH, lambda) of every path of a sweep; lambda is None except for samples."""
    fixed = [*(f"source:{k}" for k in range(sources)), "mean", "ensemble"]
    return [*((path, None) for path in fixed), *((f"sample:{n}", scale) for n in range(samples) for scale in lambdas)]


def read_records(file: Path) -> list[Record]:
    """The records of a sweep's file; an unfinished last line, left by a kill, is ignored.

    Raises:
        UserError: a line is not a record.
    """
    try:
        records = [json.loads(line) for line in _whole_lines(file).splitlines()]
        for record in records:
            KEY(record)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is not a record of a path sweep ({error!r}): remove it") from error
    return records


def _whole_lines(file: Path) -> bytes:
    text = file.read_bytes() if file.is_file() else b""
    return text[: text.rfind(b"\n") + 1]


def summarize(records: Sequence[Record]) -> dict[str, dict[str, dict[float, dict[str, float]]]]:
    """{target: {metric: {lambda: how the mean path compares with the samples}}}, which the paper states in words.

    ``rank`` is 1 if no sampled path is better than the mean path; ``of`` counts the mean path too.
    """
    summary = {}
    for target in dict.fromkeys(record["target"] for record in records):
        own = [record for record in records if record["target"] == target]
        (mean_path,) = [record for record in own if record["path"] == "mean"]
        summary[target] = {
            metric: {
                scale: _standing(mean_path[metric], [r[metric] for r in own if r["lambda"] == scale])
                for scale in dict.fromkeys(record["lambda"] for record in own if record["lambda"] is not None)
            }
            for metric in HEADLINE
        }
    return summary


def _standing(of_mean_path: float, of_samples: Sequence[float]) -> dict[str, float]:
    return {
        "mean path": of_mean_path,
        "rank": 1 + sum(value > of_mean_path for value in of_samples),
        "of": 1 + len(of_samples),
        "average": statistics.mean(of_samples),
        "worst": min(of_samples),
        "best": max(of_samples),
    }


class _Test:
    """Tests a model on one target along any number of paths, by setting the model's ``test_paths``."""

    def __init__(self, model: Any, cfg: CfgNode, target: str) -> None:
        self._model, self._cfg, self._target = model, cfg.clone(), target
        self._cfg.defrost()
        self._test = KeptTest(cfg, target, model.device)
        with torch.no_grad():
            model(next(iter(self._test.images)))  # warm up, so that the first path's time is comparable

    def along(self, path: str, scale: float | None) -> Record:
        """Test along a TEST_PATH, with lambda ``scale`` unless that is None, and return its record."""
        if scale is not None:
            self._cfg.MODEL.GDNORM.LAMBDA = float(scale)
        self._model.test_paths = parse_test_path(path, self._cfg)
        return {
            **{"target": self._target, "path": path, "lambda": scale},
            **self._test(self._model),
            "seconds_per_batch": self._test.images.seconds_per_batch,
        }


@contextlib.contextmanager
def _as_one_process() -> Iterator[None]:
    """Let fast-reid's loaders and evaluators treat this process as the only one."""
    stock = comm.get_world_size, comm.get_rank, comm.synchronize
    comm.get_world_size, comm.get_rank, comm.synchronize = lambda: 1, lambda: 0, lambda: None
    try:
        yield
    finally:
        comm.get_world_size, comm.get_rank, comm.synchronize = stock


@contextlib.contextmanager
def _keeping_paths(model: Any) -> Iterator[None]:
    """Restore the model's test paths afterwards."""
    test_paths = model.test_paths
    try:
        yield
    finally:
        model.test_paths = test_paths


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence fast-reid's log lines about every test."""
    logger = logging.getLogger("fastreid")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
