"""Labelled images to find a threshold by: a table, a folder, or a data set of fast-reid's registry."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..console import say
from ..errors import UserError
from ..runs import files
from .description import MANIFEST, read_manifest
from .records import Record, find_images
from .thresholds import beside

if TYPE_CHECKING:
    from fastreid.config import CfgNode


def labelled_images(name: str, model: str | Path) -> tuple[list[Record], str]:
    """The images and what to call them.

    Args:
        name: a table, a folder, or a data set, of which the test's images are taken. Without one, what the run of that
            model is tested on.

    Raises:
        UserError: there is nothing of that name, or no torch to read a data set with.
    """
    if name and (os.path.exists(name) or name.lower().endswith(".csv")):
        return find_images([name]), name
    cfg = _config(model)
    names = [name] if name else list(cfg.DATASETS.TESTS) if cfg is not None else []
    if cfg is None or not names:
        raise UserError(
            f"{name or 'LABELLED'} is no file and no folder, and a data set is read by fast-reid and a run's or an "
            "export's config, which are not both here"
        )
    from fastreid.data.datasets import DATASET_REGISTRY

    from ..data import read

    for one in names:
        if one not in DATASET_REGISTRY._obj_map:
            raise UserError(f"{one} is no file, no folder, and no data set of fast-reid's registry")
    records = []
    for one in names:
        data = read(cfg, one)
        records += [
            Record(path, str(camera), "", _identity(one, pid)) for path, pid, camera in data.query + data.gallery
        ]
    return records, ", ".join(names)


def check_not_trained_on(records: Sequence[Record], model: str | Path) -> None:
    """That a model has not learned from these images, as far as its sources are known and on this machine.

    Raises:
        UserError: it has learned from one of them.
    """
    cfg, sources = _config(model), _sources(model)
    if cfg is None or not sources:
        say("What the model was trained on is not known here: see to it that these images are none of that.")
        return
    from ..data import read

    ours = {os.path.realpath(record.path): record.path for record in records}
    for name in sources:
        try:
            trained_on = read(cfg, name, combineall=cfg.DATASETS.COMBINEALL).train
        except (UserError, RuntimeError, KeyError):
            say(f"{name}, which the model was trained on, is not here: see to it that none of these images is of that.")
            continue
        for path, *_ in trained_on:
            mine = ours.get(os.path.realpath(path))
            if mine:
                raise UserError(f"the model was trained on {mine}, of {name}: a threshold needs images new to it")


def _config(model: str | Path) -> CfgNode | None:
    """The config of a model's folder, if there are one and a fast-reid to read it."""
    file = beside(model) / files.CONFIG
    if not file.is_file():
        return None
    try:
        from ..runs.config import load_config
    except ImportError:
        return None
    return load_config(file, ["MODEL.DEVICE", "cpu"], has_data_sets=False)


def _sources(model: str | Path) -> list[str]:
    if (beside(model) / MANIFEST).is_file():
        return list(read_manifest(beside(model))["sources"])
    cfg = _config(model)
    return list(cfg.DATASETS.NAMES) if cfg is not None else []


def _identity(data_set: str, pid: object) -> str:
    is_nobody = pid is None or (not isinstance(pid, str) and int(pid) <= 0)  # type: ignore[call-overload]
    return "" if is_nobody else f"{data_set} {pid}"  # 0 and -1 stand for distractors and junk
