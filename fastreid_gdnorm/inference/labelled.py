"""Labelled images to find a threshold by: a table, a folder, or a data set of fast-reid's registry."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..console import say
from ..errors import UserError
from ..image_names import canonical_camera
from ..runs import files
from .contents import find_copy
from .description import MANIFEST, read_manifest
from .records import Record, find_images
from .thresholds import beside

if TYPE_CHECKING:
    from fastreid.config import CfgNode


class Labelled(NamedTuple):
    """Labelled images and what to call them.

    Args:
        data_sets: {path: the data set that the image is of}; cameras of two data sets are different ones.
    """

    records: list[Record]
    name: str
    data_sets: Mapping[str, str]

    def columns(self, records: Sequence[Record]) -> tuple[list[str], list[str]]:
        """The identities and the cameras of some of the images, for :func:`label_pairs`."""
        cameras = [
            f"{self.data_sets.get(record.path, '')} {canonical_camera(record.camera)}" if record.camera else ""
            for record in records
        ]
        return [record.identity for record in records], cameras


def labelled_images(name: str, model: str | Path) -> Labelled:
    """The images to find a threshold by.

    Args:
        name: a table, a folder, or a data set, of which the test's images are taken. Without one, what the run of that
            model is tested on.

    Raises:
        UserError: there is nothing of that name, or no torch to read a data set with.
    """
    if name and (os.path.exists(name) or name.lower().endswith(".csv")):
        return Labelled(find_images([name]), name, {})
    cfg = config_of(model)
    names = [name] if name else list(cfg.DATASETS.TESTS) if cfg is not None else []
    if cfg is None or not names:
        raise UserError(
            f"{name or 'LABELLED'} is no file and no folder, and a data set is read by fast-reid and a run's or an "
            "export's config, which are not both here"
        )
    from fastreid.data.datasets import DATASET_REGISTRY

    from ..data import read
    from ..modeling.chosen_paths import camera_label

    for one in names:
        if one not in DATASET_REGISTRY._obj_map:
            raise UserError(f"{one} is no file, no folder, and no data set of fast-reid's registry")
    records, data_sets = [], {}
    for one in names:
        data = read(cfg, one)
        for path, pid, camid, *_ in data.query + data.gallery:
            records.append(Record(path, camera_label(path, camid), "", _identity(one, pid)))
            data_sets[path] = one
    return Labelled(records, ", ".join(names), data_sets)


def check_labels(copies: Sequence[tuple[Record, Record]]) -> None:
    """That no image is of two people.

    Raises:
        UserError: a copy has another identity than the image that it is a copy of.
    """
    for copy, original in copies:
        if copy.identity and original.identity and copy.identity != original.identity:
            raise UserError(
                f"{copy.path} has the contents of {original.path}, but identity {copy.identity} and not "
                f"{original.identity}: correct one of them"
            )


def check_not_trained_on(records: Sequence[Record], model: str | Path) -> None:
    """That a model has not learned from these images, by their contents, as far as its sources are known and here.

    Raises:
        UserError: it has learned from one of them.
    """
    cfg, sources = config_of(model), _sources(model)
    if cfg is None or not sources:
        say("What the model was trained on is not known here: see to it that these images are none of that.")
        return
    from ..data import read

    for name in sources:
        try:
            trained_on = read(cfg, name, combineall=cfg.DATASETS.COMBINEALL).train
        except (UserError, RuntimeError, KeyError):
            say(f"{name}, which the model was trained on, is not here: see to it that none of these images is of that.")
            continue
        found = find_copy(records, (item[0] for item in trained_on))
        if found:
            record, original = found
            raise UserError(
                f"the model was trained on {record.path}, of {name}: a threshold needs images new to it (there it is "
                f"{original})"
            )


def config_of(model: str | Path) -> CfgNode | None:
    """The config of a model's folder, if there are one and a fast-reid to read it."""
    file = beside(model) / files.CONFIG
    if not file.is_file():
        return None
    try:
        from ..runs.run_config import load_config
    except ImportError:
        return None
    return load_config(file, ["MODEL.DEVICE", "cpu"], has_data_sets=False)


def _sources(model: str | Path) -> list[str]:
    if (beside(model) / MANIFEST).is_file():
        return list(read_manifest(beside(model))["sources"])
    cfg = config_of(model)
    return list(cfg.DATASETS.NAMES) if cfg is not None else []


def _identity(data_set: str, pid: object) -> str:
    is_nobody = pid in (None, "") or (not isinstance(pid, str) and int(pid) <= 0)  # type: ignore[call-overload]
    return "" if is_nobody else f"{data_set} {pid}"  # 0 and -1 stand for distractors and junk
