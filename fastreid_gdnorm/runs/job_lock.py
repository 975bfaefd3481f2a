"""What all results in the folder of a path sweep depend on, so that those of another model or test are not taken."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from fastreid.config import CfgNode

from ..disk import digest, write_text
from ..errors import UserError
from .feature_keys import FEATURES, STATISTICS, TRAINING
from .run_checkpoints import find_weights
from .run_config import flat

CLAIMED = (*FEATURES, "TEST.", "DATASETS.")
UNCLAIMED = (
    *("DATASETS.TESTS", "MODEL.GDNORM.LAMBDA", "MODEL.GDNORM.TEST_PATH"),  # every result says its own
    *("TEST.IMS_PER_BATCH", "TEST.EVAL_PERIOD", "TEST.PRECISE_BN."),  # the same to rounding, or training's
    *TRAINING,
)


def claim(file: Path, cfg: CfgNode) -> None:
    """Let ``file``, a JSON file beside the results, say which checkpoint they are of and how they are tested.

    Raises:
        UserError: the file is there and says otherwise; it is left as it is.
    """
    own: dict[str, Any] = {"checkpoint": digest(find_weights(cfg))}
    own.update((key, value) for key, value in flat(cfg) if key.startswith(CLAIMED) and not key.startswith(UNCLAIMED))
    if cfg.MODEL.GDNORM.MEAN_OF == "path":  # the images that its statistics may have been taken of
        own.update((key, value) for key, value in flat(cfg) if key in STATISTICS)
    text = json.dumps(own, indent=2)
    if not file.is_file():
        write_text(file, text + "\n")
        return
    own, held = json.loads(text), _read(file)
    differences = [
        f"{key} {held.get(key)}, this one has {own.get(key)}"
        for key in own  # an earlier version may have claimed more
        if held.get(key) != own.get(key)
    ]
    if differences:
        raise UserError(
            f"{file.parent} holds a sweep with {'; '.join(differences)}: remove it, or choose another folder"
        )


def _read(file: Path) -> dict[str, Any]:
    with contextlib.suppress(ValueError, TypeError):
        held = json.loads(file.read_text())
        if "checkpoint" in held:
            return dict(held)
    raise UserError(
        f"{file.parent} holds a sweep of an earlier version, or its {file.name} is damaged: remove it, or choose "
        "another folder"
    )
