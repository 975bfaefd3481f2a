"""Ties the folder of a path sweep to one checkpoint and one way of testing, so that other results never mix in."""

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
    *("DATASETS.TESTS", "MODEL.GDNORM.LAMBDA", "MODEL.GDNORM.TEST_PATH"),  # every result records its own
    *("TEST.IMS_PER_BATCH", "TEST.EVAL_PERIOD", "TEST.PRECISE_BN."),  # change only rounding, or only training
    *TRAINING,
)


def claim(file: Path, cfg: CfgNode) -> None:
    """Record in ``file``, a JSON file beside the results, which checkpoint is tested and how.

    Raises:
        UserError: the file exists with other contents; it is not changed.
    """
    own: dict[str, Any] = {"checkpoint": digest(find_weights(cfg))}
    own.update((key, value) for key, value in flat(cfg) if key.startswith(CLAIMED) and not key.startswith(UNCLAIMED))
    if cfg.MODEL.GDNORM.MEAN_OF == "path":  # its statistics may come from images that these keys select
        own.update((key, value) for key, value in flat(cfg) if key in STATISTICS)
    text = json.dumps(own, indent=2)
    if not file.is_file():
        write_text(file, text + "\n")
        return
    own, held = json.loads(text), _read(file)
    differences = [
        f"{key} {held.get(key)}, but this one has {own.get(key)}"
        for key in own  # a file from an earlier version may have more keys
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
        f"{file.parent} holds a sweep from an earlier version, or its {file.name} is damaged: remove it, or choose "
        "another folder"
    )
