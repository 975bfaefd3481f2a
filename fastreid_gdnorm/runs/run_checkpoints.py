"""Finds the checkpoints of a run and loads their models."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from fastreid.config import CfgNode
from fastreid.engine import DefaultTrainer
from fastreid.utils.checkpoint import Checkpointer
from torch import nn

from ..disk import digest
from ..errors import UserError
from ..modeling import is_gdnorm
from ..modeling.classifiers import is_classifier
from ..modeling.path_names import posterior_place
from ..modeling.posterior_files import load_posterior
from ..site_files import files_of
from ..training.population_statistics import complete_paths
from . import files
from .feature_keys import read_feature_keys
from .settings import SameSources

logger = logging.getLogger("fastreid.gdnorm.checkpoints")

NORMALISATION = {"pixel_mean": "MODEL.PIXEL_MEAN", "pixel_std": "MODEL.PIXEL_STD"}  # {buffer: config key}


def last_checkpoint(folder: str | Path) -> str | None:
    """The last checkpoint in a training's folder, or None."""
    return Checkpointer(None, str(folder)).get_checkpoint_file() or None


def find_weights(cfg: CfgNode) -> str:
    """The checkpoint of a config: MODEL.WEIGHTS, or else the last one in OUTPUT_DIR.

    Raises:
        UserError: the config has no checkpoint.
    """
    weights = cfg.MODEL.WEIGHTS or last_checkpoint(cfg.OUTPUT_DIR)
    if not weights:
        raise UserError(f"OUTPUT_DIR {cfg.OUTPUT_DIR} has no checkpoint: train first, or set MODEL.WEIGHTS")
    if "://" not in weights and not Path(weights).is_file():
        if cfg.MODEL.WEIGHTS:
            raise UserError(f"checkpoint {weights} does not exist: correct MODEL.WEIGHTS")
        raise UserError(f"{weights}, the last checkpoint of {cfg.OUTPUT_DIR}, does not exist: set MODEL.WEIGHTS")
    return weights


def load_model(cfg: CfgNode) -> nn.Module:
    """Build the config's model and load MODEL.WEIGHTS, by default the run's last checkpoint.

    Raises:
        UserError: the checkpoint is missing, damaged or of another model, or the test path is of another checkpoint.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.BACKBONE.PRETRAIN = False
    cfg.KD.MODEL_CONFIG, cfg.KD.MODEL_WEIGHTS = [], []  # a student needs its teachers only in training
    weights = find_weights(cfg)  # before fast-reid prints the model
    model: nn.Module = DefaultTrainer.build_model(cfg)
    _WholeModel(model, **({"settings": SameSources(cfg, weights)} if is_gdnorm(cfg) else {})).load(weights)
    posteriors = posterior_files(cfg)
    checkpoint = digest(weights) if posteriors else ""
    for file in posteriors:
        if load_posterior(file).checkpoint != checkpoint:
            raise UserError(
                f"posterior {file} belongs to another checkpoint, not to {weights}: run fastreid adapt --by norms again"
            )
    complete_paths(cfg, model)
    return model


def model_digest(cfg: CfgNode) -> str:
    """A digest of everything that determines a model's features: its checkpoint and its :func:`read_feature_keys`.

    Args:
        cfg: a trained model's config; without MODEL.WEIGHTS, the last checkpoint is used.

    Returns:
        files.DIGEST followed by a SHA-256.
    """
    parts = {"checkpoint": digest(find_weights(cfg)), **read_feature_keys(cfg)}
    return files.DIGEST + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def posterior_files(cfg: CfgNode) -> list[Path]:
    """The files of a GDNorm model's TEST_PATH posterior:FILE; empty for other paths."""
    place = posterior_place(cfg.MODEL.GDNORM.TEST_PATH)
    return list(files_of(place).values()) if place and is_gdnorm(cfg) else []


class _WholeModel(Checkpointer):
    """A checkpointer that refuses checkpoints without all tensors that features need; fast-reid accepts them.

    What was loaded, renamed and left out is logged in one line: as a warning, unless only classifiers were left out.
    """

    _renamed = ""

    def load(self, path: str, checkpointables: Any = None) -> Any:
        self._path = path
        return super().load(path, checkpointables)

    def _load_model(self, checkpoint: Any) -> Any:
        for name, key in NORMALISATION.items():  # releases before 1.3 keep it in the checkpoint
            own, theirs = (state.get(name) for state in (dict(self.model.named_buffers()), checkpoint["model"]))
            if own is not None and theirs is not None and own.flatten().tolist() != theirs.flatten().tolist():
                raise ValueError(f"its {name} is {theirs.flatten().tolist()}: set {key} to that")
        return super()._load_model(checkpoint)

    def _log_renamed_keys(self, renamed: str) -> None:
        self._renamed = renamed

    def _log_incompatible_keys(self, incompatible: Any) -> None:
        of_classifier = {name for name, p in self.model.named_parameters() if is_classifier(name, p)}
        missing = [key for key in incompatible.missing_keys if key not in of_classifier]
        if missing:
            raise ValueError(f"it lacks {len(missing)} of the model's tensors; the first is {missing[0]}")
        unexpected = incompatible.unexpected_keys
        unneeded = [*(key for key, *_ in incompatible.incorrect_shapes), *filter(NORMALISATION.get, unexpected)]
        foreign = [key for key in unexpected if key not in NORMALISATION]
        parts = [f"{self._path}: loaded {len(self.model.state_dict()) - len(incompatible.missing_keys)} tensors"]
        if self._renamed:
            parts.append(f"renamed {self._renamed}")
        if unneeded:
            parts.append(f"left out {', '.join(unneeded)}, which features do not need")
        if foreign:
            others = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
            parts.append(
                f"left out {foreign[0]}{others}, which the config's model lacks: if the checkpoint was trained "
                "with it, the features are wrong, so correct the config"
            )
        logger.log(logging.WARNING if self._renamed or foreign else logging.INFO, "; ".join(parts))
