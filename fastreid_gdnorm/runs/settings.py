"""The settings of a training, kept in its checkpoints, so that a resumed run can report changes."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastreid.config import CfgNode

from ..errors import UserError
from ..modeling import is_gdnorm
from .run_config import flat

logger = logging.getLogger("fastreid.gdnorm.settings")

SOURCES, BRANCHED = "DATASETS.NAMES", "branched"
TRAINING_KEYS = ("MODEL.", "KD.", "INPUT.", "DATASETS.", "DATALOADER.", "SOLVER.", "SEED")
WITHOUT_EFFECT = (  # prefixes of training keys that do not change the trained weights
    *("MODEL.DEVICE", "MODEL.WEIGHTS", "MODEL.BACKBONE.PRETRAIN", "MODEL.HEADS.NUM_CLASSES"),
    *("MODEL.GDNORM.TEST_PATH", "MODEL.GDNORM.MEAN_OF", "MODEL.GDNORM.EARLY_GRADIENTS", "KD.MODEL_WEIGHTS"),
    *("INPUT.SIZE_TEST", "DATASETS.TESTS", "DATASETS.OWN.ROOT", "DATALOADER.NUM_WORKERS"),
    *("SOLVER.CHECKPOINT_PERIOD", "SOLVER.KEEP_MEMORY"),
)
FIXED = (  # the branches and the optimizer's state depend on these; factors and decays define its parameter groups
    *(SOURCES, "SOLVER.OPT", "SOLVER.SCHED", "SOLVER.WARMUP_ITERS", "SOLVER.HEADS_LR_FACTOR", "SOLVER.BIAS_LR_FACTOR"),
    *("SOLVER.WEIGHT_DECAY", "SOLVER.WEIGHT_DECAY_NORM", "SOLVER.WEIGHT_DECAY_BIAS"),
)
IN_OPTIMIZER_STATE = (  # the checkpoint restores these with the optimizer and its schedule
    *("SOLVER.BASE_LR", "SOLVER.MOMENTUM", "SOLVER.NESTEROV"),
    *("SOLVER.GAMMA", "SOLVER.STEPS", "SOLVER.ETA_MIN_LR", "SOLVER.WARMUP_"),
)


class Settings:
    """A config's training settings, for a checkpointer's ``checkpointables``."""

    def __init__(self, cfg: CfgNode) -> None:
        is_cosine = cfg.SOLVER.SCHED == "CosineAnnealingLR"  # its curve depends on MAX_EPOCH; others just end there
        self._kept_keys = (*IN_OPTIMIZER_STATE, *(["SOLVER.MAX_EPOCH"] if is_cosine else []))
        left_out = (
            *WITHOUT_EFFECT,
            *([] if is_cosine else ["SOLVER.MAX_EPOCH"]),
            *([] if is_gdnorm(cfg) else ["MODEL.GDNORM."]),
        )
        self._own: dict[str, Any] = {
            key: value for key, value in flat(cfg) if key.startswith(TRAINING_KEYS) and not key.startswith(left_out)
        }
        self._own[BRANCHED] = is_gdnorm(cfg)

    def state_dict(self) -> dict[str, Any]:
        return self._own

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Compare the run's settings with this config's, and log which values the resumed run uses.

        Raises:
            UserError: a setting differs that a run cannot change.
        """
        changed = [key for key, own in self._own.items() if key in state and _text(own) != _text(state[key])]
        for key in changed:
            if key in FIXED and self._own[BRANCHED]:
                raise UserError(
                    f"--resume: the run started with {key} {_text(state[key])}, but this config has "
                    f"{_text(self._own[key])}: set {key} back, or choose another OUTPUT_DIR"
                )
        kept = [key for key in changed if key.startswith(self._kept_keys)]
        if kept:
            logger.warning(
                "Resuming with the checkpoint's %s; for other values, start a new run from its weights: MODEL.WEIGHTS",
                "; ".join(f"{key} {_text(state[key])}, not {_text(self._own[key])}" for key in kept),
            )
        followed = [key for key in changed if key not in kept]
        if followed:
            logger.warning(
                "Resuming with %s: from here on, the results differ from those of an uninterrupted run",
                "; ".join(f"{key} {_text(self._own[key])}, before {_text(state[key])}" for key in followed),
            )


class SameSources:
    """Checks that a checkpoint's branches match DATASETS.NAMES, as one of a checkpointer's ``checkpointables``.

    Args:
        weights: the checkpoint's name in errors.
    """

    def __init__(self, cfg: CfgNode, weights: str) -> None:
        self._names, self._weights = cfg.DATASETS.NAMES, weights

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raise UserError if the checkpoint's branches belong to other sources or have another order."""
        if state[BRANCHED] and _text(state[SOURCES]) != _text(self._names):
            raise UserError(
                f"checkpoint {self._weights} has branches for {_text(state[SOURCES])}, in this order, but "
                f"DATASETS.NAMES is {_text(self._names)}: set it to the checkpoint's sources"
            )


def _text(value: object) -> str:
    return json.dumps(value).replace('"', "'")
