"""CUHK03 in its new split (Zhong et al. 2017), from any of its three forms on disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from fastreid.config import CfgNode
from fastreid.data.datasets.cuhk03 import CUHK03

from ...errors import UserError
from ...image_loading import is_picture
from ..identities import Item
from .market_style import read_market_folder
from .on_disk import GUIDE, read_mat
from .reader import Counts, Reader, logger

PUBLISHED = {
    "detected": {
        "train": Counts(767, 7365, 2),
        "query": Counts(700, 1400, 2),
        "gallery": Counts(700, 5332, 2),
        "all": Counts(1467, 14097),
    },
    "labeled": {
        "train": Counts(767, 7368, 2),
        "query": Counts(700, 1400, 2),
        "gallery": Counts(700, 5328, 2),
        "all": Counts(1467, 14096),
    },
}
NP_FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}


class DGCUHK03(Reader):
    """CUHK03 (Li et al. 2014) with 767 identities to train and 700 to test on.

    Args:
        boxes: "detected" or "labeled", the key DATASETS.CUHK03.BOXES.
    """

    folders = ("cuhk03", "CUHK03", "CUHK03-NP", "cuhk03-np")
    layout = (
        "images_{detected,labeled} with cuhk03_new_protocol_config_{detected,labeled}.mat, "
        "or {detected,labeled}/bounding_box_train and so on (CUHK03-NP), "
        "or cuhk03_release/cuhk-03.mat with both of those .mat files"
    )
    signs = ("images_detected", "images_labeled", "detected", "labeled", "cuhk03_release")
    dataset_name, letters = "cuhk03", "C3"
    published = PUBLISHED["detected"]

    def __init__(self, root: str = "datasets", boxes: str = "detected", **kwargs: Any) -> None:
        if boxes not in PUBLISHED:
            raise UserError(f"DATASETS.CUHK03.BOXES must be detected or labeled; got {boxes!r}")
        self.boxes, self.variant, self.published = boxes, f"{boxes} boxes", PUBLISHED[boxes]
        super().__init__(root, **kwargs)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        return {"boxes": cfg.DATASETS.CUHK03.BOXES}

    def open(self) -> None:
        self._read = self._reader_of_the_form_on_disk()

    def read_train(self) -> list[Item]:
        return self._read("train")

    def read_query(self) -> list[Item]:
        return self._read("query")

    def read_gallery(self) -> list[Item]:
        return self._read("gallery")

    def _reader_of_the_form_on_disk(self) -> Callable[[str], list[Item]]:
        np_folder, images = os.path.join(self.folder, self.boxes), os.path.join(self.folder, f"images_{self.boxes}")
        mat = os.path.join(self.folder, "cuhk03_release", "cuhk-03.mat")
        if os.path.isdir(np_folder):
            logger.info("DGCUHK03: in the form of CUHK03-NP, %s", np_folder)
            return lambda part: read_market_folder(os.path.join(np_folder, NP_FOLDERS[part]))
        if not (os.path.isdir(images) or os.path.isfile(mat)):
            raise UserError(
                f"data set DGCUHK03: {self.folder} has no {self.boxes} images; it must contain {self.layout}; {GUIDE}"
            )
        extracted = _ExtractedImages(images, f"{self.folder}/cuhk03_new_protocol_config_{self.boxes}.mat")
        if extracted.missing and os.path.isfile(mat):
            _extract(mat, self.folder)
            extracted.find()
        extracted.check()
        logger.info("DGCUHK03: extracted images %s, split %s", images, extracted.path)
        return extracted


def _extract(mat: str, folder: str) -> None:
    """Extract images as fast-reid does, for any folder name."""
    root, name = os.path.split(folder)
    try:
        type("CUHK03", (CUHK03,), {"dataset_dir": name})(root)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"cannot extract {mat} ({error}): download it again; {GUIDE}") from error


class _ExtractedImages:
    """Images like ``1_001_1_01.png`` (camera pair, identity, view, number), and the split file that lists them."""

    def __init__(self, folder: str, split: str) -> None:
        self.folder, self.path = folder, split
        self.split = read_mat(split, "filelist", "labels", *(f"{part}_idx" for part in NP_FOLDERS))
        self.names = [str(name.item()) for name in self.split["filelist"].flatten()]
        self.find()

    def find(self) -> None:
        """Look for the images, with any suffix."""
        names = sorted(os.listdir(self.folder)) if os.path.isdir(self.folder) else []
        self.files = {_stem(name): name for name in names if is_picture(name)}

    @property
    def missing(self) -> list[str]:
        return sorted(name for name in self.names if _stem(name) not in self.files)

    def check(self) -> None:
        """Raise UserError if a listed image is missing."""
        missing = self.missing
        if missing:
            raise UserError(
                f"{self.folder} lacks {len(missing)} of the {len(self.names)} images that {self.path} lists; "
                f"the first is {missing[0]}; {GUIDE}"
            )

    def __call__(self, part: str) -> list[Item]:
        pids = self.split["labels"].flatten()
        items: list[Item] = []
        for index in self.split[f"{part}_idx"].flatten().astype(int) - 1:
            view = int(self.names[index].split("_")[2])
            file = self.files[_stem(self.names[index])]
            items.append((os.path.join(self.folder, file), int(pids[index]), view - 1))
        return items


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]
