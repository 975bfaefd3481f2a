"""MSMT17, version V1 or V2."""

from __future__ import annotations

import os
import re
from typing import Any

from fastreid.config import CfgNode

from ...errors import UserError
from ...image_loading import is_picture
from ..identities import Item
from .on_disk import check_folder, read_list
from .reader import Counts, NotFound, Reader

VERSIONS = {"V1": ("MSMT17_V1", "train", "test"), "V2": ("MSMT17_V2", "mask_train_v2", "mask_test_v2")}
TRAIN, TRAIN_AND_VAL = Counts(1041, 30248, 15), Counts(1041, 32621, 15)


class DGMSMT17(Reader):
    """MSMT17 (Wei et al. 2018). Its lists assign images to the parts.

    Args:
        version: "V1", or "V2" with masked faces; the key DATASETS.MSMT17.VERSION.
        val: whether to train on the images of list_val.txt too; the key DATASETS.MSMT17.VAL.
            With COMBINEALL, training always includes them.
    """

    folders = tuple(folder for folder, _, _ in VERSIONS.values())
    layout = "train and test (V1) or mask_train_v2 and mask_test_v2 (V2), and list_{train,val,query,gallery}.txt"
    dataset_name, letters = "msmt17", "MT"
    published = {"query": Counts(3060, 11659, 15), "gallery": Counts(3060, 82161, 15), "all": Counts(4101, 126441)}

    def __init__(self, root: str = "datasets", version: str = "V1", val: bool = True, **kwargs: Any) -> None:
        if version not in VERSIONS:
            raise UserError(f"DATASETS.MSMT17.VERSION must be V1 or V2; got {version!r}")
        folder, self.train_folder, self.test_folder = VERSIONS[version]
        others = [name for name, folders in VERSIONS.items() if os.path.isdir(os.path.join(root, folders[0]))]
        if others and version not in others:
            raise NotFound(
                f"data set DGMSMT17: {root} has version {others[0]}, but DATASETS.MSMT17.VERSION is {version}: "
                f"set it to {others[0]}, or unpack {folder}"
            )
        self.folders, self.signs = (folder,), (self.train_folder,)
        self.val = val or kwargs.get("combineall", False)
        self.variant = f"version {version}, {'with' if self.val else 'without'} the validation images in training"
        self.published = {"train": TRAIN_AND_VAL if self.val else TRAIN, **self.published}
        super().__init__(root, **kwargs)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        return {"version": cfg.DATASETS.MSMT17.VERSION, "val": cfg.DATASETS.MSMT17.VAL}

    def read_train(self) -> list[Item]:
        lists = ("train", "val") if self.val else ("train",)
        return [item for name in lists for item in self._read(self.train_folder, name)]

    def read_query(self) -> list[Item]:
        return self._read(self.test_folder, "query")

    def read_gallery(self) -> list[Item]:
        return self._read(self.test_folder, "gallery")

    def _read(self, folder: str, name: str) -> list[Item]:
        images = os.path.join(self.folder, folder)
        check_folder(images)
        items: list[Item] = []
        list_file = os.path.join(self.folder, f"list_{name}.txt")
        for path, pid in read_list(list_file):
            camera = re.fullmatch(r".*/\d+_\d+_(\d+)_.*", path)
            if not camera:
                raise UserError(f"{list_file} names {path}, whose name has no camera: unpack it again")
            items.append((os.path.join(images, path), pid, int(camera[1]) - 1))
        return _as_on_disk(items, list_file)


def _as_on_disk(items: list[Item], list_file: str) -> list[Item]:
    """Correct the suffixes of listed items, which on disk can differ in case or format.

    Raises:
        UserError: an image is missing.
    """
    folders = {path.rpartition("/")[0] for path, _, _ in items}
    there = {f"{folder}/{name}" for folder in folders if os.path.isdir(folder) for name in os.listdir(folder)}
    listed = [path for path, _, _ in items]
    if there.issuperset(listed):
        return items
    alike = {os.path.splitext(path)[0]: path for path in sorted(there) if is_picture(os.path.basename(path))}
    found = [path if path in there else alike.get(os.path.splitext(path)[0]) for path in listed]
    missing = [path for path, file in zip(listed, found) if not file]
    if missing:
        raise UserError(
            f"{missing[0]} does not exist; {list_file} names it, and {len(missing)} of {len(items)} images are missing"
        )
    return [(file, *item[1:]) for file, item in zip(found, items)]
