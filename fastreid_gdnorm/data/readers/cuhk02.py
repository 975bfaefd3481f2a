"""CUHK02: five pairs of cameras, each with its own identities."""

from __future__ import annotations

import os

from ..identities import Item
from .on_disk import list_images
from .reader import Counts, Reader

CAMERA_PAIRS = 5


class DGCUHK02(Reader):
    """CUHK02 (Li and Wang 2013), for training only.

    Every pair of cameras numbers its identities from 1, so an identity is a pair and a number.
    """

    folders = ("cuhk02", "CUHK02")
    layout = "P1 to P5, or Dataset with them in it, each with cam1 and cam2"
    signs = ("P1", "Dataset")
    dataset_name, letters = "cuhk02", "C2"
    published = {"train": Counts(1816, 7264, 10)}

    def read_train(self) -> list[Item]:
        nested = os.path.join(self.folder, "Dataset")
        folder = nested if os.path.isdir(nested) else self.folder
        items = []
        for pair in range(1, CAMERA_PAIRS + 1):
            for view in (1, 2):
                images = list_images(os.path.join(folder, f"P{pair}", f"cam{view}"), r"(\d+)_.*")
                items += [(path, f"{pair}_{pid}", f"{pair}_{view}") for path, pid in images]
        return items
