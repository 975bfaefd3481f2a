"""The settings of a training, in its checkpoints, so that one that goes on with others says so."""

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
OF_TRAINING = ("MODEL.", "KD.", "INPUT.", "DATASETS.", "DATALOADER.", "SOLVER.", "SEED")
OF_NO_NUMBER = (  # of a training
    *("MODEL.DEVICE", "MODEL.WEIGHTS", "MODEL.BACKBONE.PRETRAIN", "MODEL.HEADS.NUM_CLASSES"),
    *("MODEL.GDNORM.TEST_PATH", "MODEL.GDNORM.MEAN_OF", "MODEL.GDNORM.EARLY_GRADIENTS", "KD.MODEL_WEIGHTS"),
    *("INPUT.SIZE_TEST", "DATASETS.TESTS", "DATALOADER.NUM_WORKERS", "SOLVER.CHECKPOINT_PERIOD", "SOLVER.KEEP_MEMORY"),
)
FIXED = (  # what branches and the optimizer's state are of; its factors and decays say which parameters form a group
    *(SOURCES, "SOLVER.OPT", "SOLVER.SCHED", "SOLVER.WARMUP_ITERS", "SOLVER.HEADS_LR_FACTOR", "SOLVER.BIAS_LR_FACTOR"),
    *("SOLVER.WEIGHT_DECAY", "SOLVER.WEIGHT_DECAY_NORM", "SOLVER.WEIGHT_DECAY_BIAS"),
)
IN_THE_STATE = (  # of the optimizer or its schedule, which a checkpoint brings
    *("SOLVER.BASE_LR", "SOLVER.MOMENTUM", "SOLVER.NESTEROV"),
    *("SOLVER.GAMMA", "SOLVER.STEPS", "SOLVER.ETA_MIN_LR", "SOLVER.WARMUP_"),
)


class Settings:
    """A config's settings of training, to be saved and loaded as one of a checkpointer's ``checkpointables``."""

    def __init__(self, cfg: CfgNode) -> None:
        in_its_state = cfg.SOLVER.SCHED == "CosineAnnealingLR"  # how long it is; another only ends there
        self._in_the_state = (*IN_THE_STATE, *(["SOLVER.MAX_EPOCH"] if in_its_state else []))
        left_out = (
            *OF_NO_NUMBER,
            *([] if in_its_state else ["SOLVER.MAX_EPOCH"]),
            *([] if is_gdnorm(cfg) else ["MODEL.GDNORM."]),
        )
        self._own: dict[str, Any] = {
            key: value for key, value in flat(cfg) if key.startswith(OF_TRAINING) and not key.startswith(left_out)
        }
        self._own[BRANCHED] = is_gdnorm(cfg)

    def state_dict(self) -> dict[str, Any]:
        return self._own

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Compare with the settings that a run was begun with, and say which values the run goes on with.

        Raises:
            UserError: a run cannot go on with these.
        """
        changed = [key for key, own in self._own.items() if key in state and _text(own) != _text(state[key])]
        for key in changed:
            if key in FIXED and self._own[BRANCHED]:
                raise UserError(
                    f"--resume: the run was begun with {key} {_text(state[key])}, and this config has "
                    f"{_text(self._own[key])}: go on with the former, in the same order, or choose another OUTPUT_DIR"
                )
        kept = [key for key in changed if key.startswith(self._in_the_state)]
        if kept:
            logger.warning(
                "The run goes on with its checkpoint's %s; for other values begin anew from its weights: MODEL.WEIGHTS",
                "; ".join(f"{key} {_text(state[key])}, not {_text(self._own[key])}" for key in kept),
            )
        followed = [key for key in changed if key not in kept]
        if followed:
            logger.warning(
                "The run goes on with %s: from here on its numbers are no longer those of the unbroken run",
                "; ".join(f"{key} {_text(self._own[key])}, before {_text(state[key])}" for key in followed),
            )


class SameSources:
    """Takes the settings that a checkpoint was trained with, and compares the order of its branches.

    Args:
        weights: the checkpoint, for errors.
    """

    def __init__(self, cfg: CfgNode, weights: str) -> None:
        self._names, self._weights = cfg.DATASETS.NAMES, weights

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raise UserError if the checkpoint has branches of other sources than DATASETS.NAMES, or in another order."""
        if state[BRANCHED] and _text(state[SOURCES]) != _text(self._names):
            raise UserError(
                f"checkpoint {self._weights} has the branches of {_text(state[SOURCES])}, in this order, and "
                f"DATASETS.NAMES is {_text(self._names)}: set it to the checkpoint's"
            )


def _text(value: object) -> str:
    return json.dumps(value).replace('"', "'")
