"""PRID 2011, single shot."""

from __future__ import annotations

import os

from ..identities import Item
from .reader import Counts
from .single_shot import SPLITS_FILE, TwoViews

SHARED = 200  # identities 1 to 200 are the same person in both views; higher numbers are not


class DGPRID(TwoViews):
    """PRID 2011 (Hirzer et al. 2011): 200 identities in two cameras, queries from cam_a, and 549 only in cam_b."""

    folders = ("prid_2011", "prid2011/prid_2011")
    layout = "single_shot with cam_a and cam_b"
    signs = ("single_shot",)
    dataset_name, letters = "prid", "P"
    published = {"query": Counts(100, 100, 1), "gallery": Counts(649, 649, 1)}
    splits_files = (SPLITS_FILE, "splits_single_shot.json")  # torchreid's name
    views = (os.path.join("single_shot", "cam_a"), os.path.join("single_shot", "cam_b"))
    pattern = r"person_(\d+)"

    def read_views(self) -> tuple[list[Item], list[Item]]:
        cam_a, cam_b = super().read_views()
        return [item for item in cam_a if item[1] <= SHARED], cam_b
