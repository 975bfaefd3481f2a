"""The format of Market-1501: three folders, with identity and camera in the file names."""

from __future__ import annotations

import os

from ...image_names import MARKET_STYLE
from ..identities import Item
from .on_disk import list_images
from .reader import Counts, Reader

DISTRACTOR, JUNK = 0, -1


class MarketStyle(Reader):
    """Folders bounding_box_train, query and bounding_box_test with images like ``0002_c1s1_000451_03.jpg``.

    Junk (identity -1) is ignored. Distractors (identity 0) are in the gallery, but not in training.
    """

    layout = "bounding_box_train, query and bounding_box_test"
    signs = ("bounding_box_train",)
    _junk_pids = [DISTRACTOR, JUNK]  # ignored by fast-reid's combine_all

    def read_train(self) -> list[Item]:
        return read_market_folder(os.path.join(self.folder, "bounding_box_train"))

    def read_query(self) -> list[Item]:
        return read_market_folder(os.path.join(self.folder, "query"))

    def read_gallery(self) -> list[Item]:
        return read_market_folder(os.path.join(self.folder, "bounding_box_test"))


def read_market_folder(folder: str) -> list[Item]:
    """The items (path, pid, camera from 0) of one folder, without junk."""
    return [(path, pid, camera - 1) for path, pid, camera in list_images(folder, MARKET_STYLE) if pid > JUNK]


class DGMarket1501(MarketStyle):
    """Market-1501 (Zheng et al. 2015)."""

    folders = ("Market-1501-v15.09.15", "market1501/Market-1501-v15.09.15")
    dataset_name, letters = "market1501", "M"
    published = {
        "train": Counts(751, 12936, 6),
        "query": Counts(750, 3368, 6),
        "gallery": Counts(751, 15913, 6),  # 750, and the distractors as one
        "all": Counts(1501, 29419),
    }


class DGDukeMTMC(MarketStyle):
    """DukeMTMC-reID (Zheng et al. 2017), withdrawn by its authors; see projects/GDNorm/DATASETS.md."""

    folders = ("DukeMTMC-reID", "dukemtmc-reid/DukeMTMC-reID")
    dataset_name, letters = "dukemtmc", "D"
    published = {
        "train": Counts(702, 16522, 8),
        "query": Counts(702, 2228, 8),
        "gallery": Counts(1110, 17661, 8),
        "all": Counts(1812, 36411),
    }
