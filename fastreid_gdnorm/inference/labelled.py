"""Labelled images for finding a threshold: a table, a folder, or a data set of fast-reid's registry."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..console import say
from ..errors import UserError
from ..image_names import canonical_camera
from ..image_tables import is_table, read_table
from ..runs import files
from .contents import find_copy
from .description import MANIFEST, read_manifest
from .records import Record, find_images, record_of
from .thresholds import beside

if TYPE_CHECKING:
    from fastreid.config import CfgNode


class Labelled(NamedTuple):
    """Labelled images and their collective name.

    Args:
        data_sets: {path: data set of the image}. Cameras of different data sets are different cameras.
    """

    records: list[Record]
    name: str
    data_sets: Mapping[str, str]

    def columns(self, records: Sequence[Record]) -> tuple[list[str], list[str]]:
        """Identities and cameras of some of the images, as :func:`label_pairs` takes them."""
        cameras = [
            f"{self.data_sets.get(record.path, '')} {canonical_camera(record.camera)}" if record.camera else ""
            for record in records
        ]
        return [record.identity for record in records], cameras


def labelled_images(name: str, model: str | Path) -> Labelled:
    """Find the labelled images to compute a threshold from.

    Args:
        name: a table, a folder, or a data set, whose query and gallery images are used, as are those of a table with
            splits. "" takes the test sets of the model's config.
        model: the model's folder or ONNX file.

    Raises:
        UserError: nothing has that name, or it is a data set and torch, fast-reid or the config is missing.
    """
    if is_table(name):
        return _of_table(name)
    if name and os.path.exists(name):
        return Labelled(find_images([name]), name, {})
    cfg = config_of(model)
    names = [name] if name else list(cfg.DATASETS.TESTS) if cfg is not None else []
    if cfg is None or not names:
        raise UserError(
            f"{f'{name} is not a file or folder' if name else 'LABELLED is missing'}, and reading a data set needs "
            "fast-reid and the config of a run or an export: name a table or a folder of labelled images"
        )
    from fastreid.data.datasets import DATASET_REGISTRY

    from ..data import read
    from ..data.own_names import settled
    from ..modeling.chosen_paths import camera_label

    for one in names:
        if one not in DATASET_REGISTRY._obj_map:
            raise UserError(f"{one} is not a file or folder, nor a data set of fast-reid's registry: check its name")
    records: list[Record] = []
    data_sets: dict[str, str] = {}
    for one in settled(cfg, names) if name else names:
        data = read(cfg, one)
        owner = "" if getattr(data, "same_identities", False) else one
        for path, pid, camid, *_ in {item[0]: item for item in data.query + data.gallery}.values():
            records.append(Record(path, camera_label(path, camid), "", _identity(owner, pid)))
            data_sets[path] = one
    return Labelled(records, ", ".join(names), data_sets)


def _of_table(file: str) -> Labelled:
    rows = read_table(file)
    used = [row for row in rows if row.split != "train"]
    if len(used) < len(rows):
        say(f"{file}: {len(rows) - len(used)} of {len(rows)} images are of the split train and are left out")
    return Labelled(list(map(record_of, used)), file, {row.path: row.domain for row in used})


def check_labels(copies: Sequence[tuple[Record, Record]]) -> None:
    """Check that no image is labelled as two people.

    Raises:
        UserError: a copy's identity differs from its original's.
    """
    for copy, original in copies:
        if copy.identity and original.identity and copy.identity != original.identity:
            raise UserError(
                f"{copy.path} is a copy of {original.path}, but has identity {copy.identity} instead of "
                f"{original.identity}: correct one of them"
            )


def check_not_trained_on(records: Sequence[Record], model: str | Path) -> None:
    """Check that none of these images is a copy of a training image, as far as the training data is available.

    A printed line names training data that is not available.

    Raises:
        UserError: the model was trained on one of the images.
    """
    cfg, sources = config_of(model), _sources(model)
    if cfg is None or not sources:
        say("The model's training data is not known here: make sure that it contains none of these images.")
        return
    from ..data import read

    for name in sources:
        try:
            trained_on = read(cfg, name, combineall=cfg.DATASETS.COMBINEALL).train
        except (UserError, RuntimeError, KeyError):
            say(f"Training data {name} is not available here: make sure that it contains none of these images.")
            continue
        found = find_copy(records, (item[0] for item in trained_on))
        if found:
            record, original = found
            raise UserError(
                f"the model was trained on {record.path} (it is {original} of {name}): a threshold needs images that "
                "the model was not trained on"
            )


def config_of(model: str | Path) -> CfgNode | None:
    """The config in a model's folder; None if there is no config or fast-reid is not installed."""
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


def _identity(owner: str, pid: object) -> str:
    """The identity of an item, "" if unknown.

    Args:
        owner: the data set, if its identities differ from those of others; else "".
    """
    is_nobody = pid in (None, "") or (not isinstance(pid, str) and int(pid) <= 0)  # type: ignore[call-overload]
    return "" if is_nobody else f"{owner} {pid}".strip()  # 0 and -1 mark distractors and junk
