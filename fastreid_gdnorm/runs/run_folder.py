"""Reads the folder of a finished run."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from fastreid.config import CfgNode

from ..errors import UserError
from ..evaluation import METRICS, SPREAD
from ..modeling import is_gdnorm
from ..modeling.path_names import POSTERIOR, posterior_place
from . import files
from .results import read_test_results
from .run_checkpoints import find_weights, last_checkpoint
from .run_config import load_config
from .training_log import read_metrics

RELOCATED = ("MODEL.GDNORM.TEST_PATH", "MODEL.WEIGHTS", "OUTPUT_DIR")


def load_run_config(folder: str | Path, device: str = "", has_data_sets: bool = True) -> CfgNode:
    """The config of a folder of ``fastreid train``, even if the folder was moved; MODEL.WEIGHTS is its checkpoint.

    Any folder with a config.yaml and one checkpoint works too.

    Args:
        device: MODEL.DEVICE; by default the run's own, or the CPU if there is no CUDA.
        has_data_sets: as for :func:`load_config`.

    Raises:
        UserError: the folder is not a run, or has no checkpoint.
    """
    if not device and not torch.cuda.is_available():
        device = "cpu"
    return _load_run(Path(folder), ["MODEL.DEVICE", device] if device else [], has_data_sets)


def _load_run(folder: Path, overrides: Sequence[object] = (), has_data_sets: bool = True) -> CfgNode:
    """A run's config with its own checkpoint in MODEL.WEIGHTS, unless the overrides set that."""
    config_file = folder / files.CONFIG
    if not config_file.is_file():
        raise UserError(f"{folder} is not a run: it has no {files.CONFIG}; pass an output folder of fastreid train")
    cfg = load_config(config_file, overrides, has_data_sets)
    _relocate(cfg, folder)
    if "MODEL.WEIGHTS" not in overrides[::2]:
        cfg.MODEL.WEIGHTS = find_weights(cfg)
    _merge_places(cfg, overrides)
    return cfg


def load_trained_config(config_file: str | Path, overrides: Sequence[object] = ()) -> CfgNode:
    """The config of a trained model, as :func:`load_config`; a config.yaml in a run's folder refers to that run.

    So OUTPUT_DIR and MODEL.WEIGHTS are found from any working directory, even if the run was moved, unless the
    overrides set them. ``config_file`` can also be a run's folder: then MODEL.WEIGHTS is that run's checkpoint even if
    the overrides set OUTPUT_DIR.

    Raises:
        UserError: as for :func:`load_config`, or ``config_file`` is a folder without checkpoints.
    """
    if Path(config_file).is_dir():
        return _load_run(Path(config_file), overrides)
    cfg = load_config(config_file, overrides)
    folder = Path(config_file).parent
    if Path(config_file).name == files.CONFIG and "OUTPUT_DIR" not in overrides[::2] and _is_run(folder, cfg):
        _relocate(cfg, folder)
        _merge_places(cfg, overrides)
    return cfg


def _is_run(folder: Path, cfg: CfgNode) -> bool:
    """Whether a run's checkpoints are in the folder of its config, and not in another OUTPUT_DIR."""
    elsewhere = os.path.isfile(cfg.MODEL.WEIGHTS) or last_checkpoint(cfg.OUTPUT_DIR)
    return bool(last_checkpoint(folder) or (any(folder.glob("*.pth")) and not elsewhere))


def _relocate(cfg: CfgNode, folder: Path) -> None:
    """Point a run's config to ``folder``, where the run is now, and MODEL.WEIGHTS to its checkpoint."""

    def moved(path: str) -> str:
        inside = os.path.relpath(path, cfg.OUTPUT_DIR or folder)
        return path if inside.startswith(os.pardir) else str(folder / inside)

    place = posterior_place(cfg.MODEL.GDNORM.TEST_PATH)
    if place:
        cfg.MODEL.GDNORM.TEST_PATH = f"{POSTERIOR}:{moved(place)}"
    # a checkpoint in MODEL.WEIGHTS was tested if it belongs to this run; otherwise training started from it
    weights = Path(moved(cfg.MODEL.WEIGHTS)) if cfg.MODEL.WEIGHTS else Path()
    is_own = weights.parent.resolve() == folder.resolve() and weights.name not in ("", files.START)
    found = [str(file) for file in folder.glob("*.pth") if file.name != files.START]
    only = found[0] if len(found) == 1 else ""
    cfg.MODEL.WEIGHTS = str(weights) if is_own else last_checkpoint(folder) or only
    cfg.OUTPUT_DIR = str(folder)


def _merge_places(cfg: CfgNode, overrides: Sequence[object]) -> None:
    """Merge the overrides of keys that :func:`_relocate` has changed."""
    for key, value in zip(overrides[::2], overrides[1::2]):
        if key in RELOCATED:
            cfg.merge_from_list([key, value])


class RunFolder:
    """The config, weights, results and metrics of a folder of ``fastreid train``, even if the folder was moved.

    Attributes:
        results: {target: {metric: %}}, from test_results.json, or else the last test in metrics.json.
        records: the lines of metrics.json by iteration; of steps that a resumed run repeated, the last.

    Raises:
        UserError: the folder is not a run, was never tested, or has no checkpoint.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.config_file = self.folder / files.CONFIG
        self.cfg = load_run_config(folder)
        self.weights = Path(self.cfg.MODEL.WEIGHTS)
        self.records = read_metrics(self.folder / files.METRICS)
        self.results = self._results()

    @property
    def is_gdnorm(self) -> bool:
        """Whether the model has GDNorm."""
        return is_gdnorm(self.cfg)

    @property
    def sweep(self) -> Path:
        """The folder for a path sweep of the model."""
        return self.folder / files.PATHS

    @property
    def targets(self) -> list[str]:
        """The data sets in the results, without averages."""
        return [target for target in self.results if target in self.cfg.DATASETS.TESTS]

    def versions(self) -> dict[str, str]:
        """{Python, PyTorch, fastreid: version} from the log; if the run was resumed, the last ones."""
        log = self.folder / files.LOG
        text = log.read_text(errors="replace") if log.is_file() else ""
        return dict(re.findall(r"^(Python|PyTorch|fastreid) {2,}(\S+)", text, re.MULTILINE))

    def _results(self) -> dict[str, dict[str, Any]]:
        kept = read_test_results(self.folder)
        if kept:
            return kept
        tests = [record for record in self.records if any(name.split("/")[-1] == "mAP" for name in record)]
        if not tests:
            raise UserError(
                f"{self.folder} has no results: run fastreid train --eval-only --config-file {self.config_file}"
            )
        results: dict[str, dict[str, Any]] = {}
        for name, value in tests[-1].items():
            target, _, metric = name.rpartition("/")
            if metric.replace(SPREAD, "") in METRICS:
                results.setdefault(target or self.cfg.DATASETS.TESTS[0], {})[metric] = value
        return results
