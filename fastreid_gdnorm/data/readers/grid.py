"""QMUL GRID."""

from __future__ import annotations

import os
from typing import Any

from numpy.typing import NDArray

from ...errors import UserError
from ..identities import Item
from .on_disk import GUIDE, list_images, read_mat
from .reader import Counts
from .single_shot import SPLITS_FILE, Split, TwoViews

PARTITIONS = "features_and_partitions.mat"


class DGGRID(TwoViews):
    """GRID (Loy, Xiang and Gong 2009): 250 identities seen twice, and 775 strangers (identity 0) in the gallery.

    The splits are the official partitions.
    """

    folders = ("GRID", "underground_reid", "grid/underground_reid")
    layout = f"probe, gallery and {PARTITIONS}"
    signs = ("probe",)
    dataset_name, letters = "grid", "G"
    _junk_pids = [0]  # ignored by fast-reid's combine_all
    published = {"query": Counts(125, 125), "gallery": Counts(126, 900)}  # the strangers count as one identity

    def read_views(self) -> tuple[list[Item], list[Item]]:
        pattern = r"(\d+)_(\d+)_.*"
        probe, gallery = (
            [(path, pid, camera - 1) for path, pid, camera in list_images(os.path.join(self.folder, view), pattern)]
            for view in ("probe", "gallery")
        )
        return probe, gallery

    def official_splits(self) -> list[Split] | None:
        path = os.path.join(self.folder, PARTITIONS)
        if not os.path.isfile(path):
            return None
        partitions = read_mat(path, "trainIdxAll")["trainIdxAll"].flatten()
        self.origin = f"the {len(partitions)} official partitions, {path}"
        return [self.split_of(set(self.shared) - _trained(partition)) for partition in partitions]

    def drawn_splits(self) -> list[Split]:
        raise UserError(
            f"data set DGGRID: {self.folder} has neither {PARTITIONS}, the official splits, nor {SPLITS_FILE}; {GUIDE}"
        )


def _trained(partition: NDArray[Any]) -> set[int]:
    """The identities to train on in one partition, a struct of probeImIdx, galleryImIdx and, third, personIdx."""
    return set(partition[0, 0][2].flatten().tolist())
