"""What must change in a program before it can run a certain model."""

from __future__ import annotations

import importlib.util
import re

from .._version import installed
from ..consumers import CONSUMERS, ULTRALYTICS
from ..errors import UserError
from ..inference.description import Description

BOTSORT_FEATURES = 2048  # hard-coded in BoT-SORT


def check_engine(consumer: str) -> None:
    """Check that the package that runs a consumer's file, to check it, is installed.

    Raises:
        UserError: it is not.
    """
    engine = CONSUMERS[consumer].engine
    if engine and importlib.util.find_spec(engine) is None:
        raise UserError(
            f"--for {consumer} checks its file with the package {engine}, which is not installed: pip install {engine}"
        )


def usage_note(consumer: str, architecture: str, description: Description) -> str:
    """What a user must change in a program to run this model, or "".

    Args:
        consumer: a name in CONSUMERS.
        architecture: the exported model's meta-architecture.
        description: the exported model.

    Raises:
        UserError: the program cannot run the model.
    """
    if consumer == "botsort":
        return _note_on_features(architecture, description.features)
    if consumer == "ultralytics":
        return _note_on_version(installed(consumer)[consumer], *description.input.size)
    return ""


def _note_on_features(architecture: str, features: int) -> str:
    if features == BOTSORT_FEATURES:
        return ""
    if architecture == "MGN":
        raise UserError(
            f"--for botsort: BoT-SORT cannot use an MGN with {features} features, only with {BOTSORT_FEATURES}: train "
            "it with MODEL.HEADS.EMBEDDING_DIM 256, or export --for boxmot"
        )
    return (
        f"BoT-SORT expects {BOTSORT_FEATURES} features and this model has {features}: replace {BOTSORT_FEATURES} by "
        f"{features} in BoT-SORT's fast_reid/fast_reid_interfece.py, or it fails at the first frame"
    )


def _note_on_version(version: str | None, height: int, width: int) -> str:
    def release(text: str) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", text)[:3]]

    if not version or height == width or release(version) >= release(ULTRALYTICS):
        return ""
    return (
        f"Ultralytics {version}, which is installed here, crops squares and fails on this {height}x{width} model: "
        f"pip install 'ultralytics>={ULTRALYTICS}'"
    )
