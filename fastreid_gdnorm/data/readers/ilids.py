"""QMUL i-LIDS."""

from __future__ import annotations

import os

import numpy as np

from ..identities import Item
from .on_disk import list_images
from .reader import Counts
from .single_shot import SingleShot, Split, half


class DGiLIDS(SingleShot):
    """QMUL i-LIDS (Zheng, Gong and Xiang 2009): 119 identities, 476 images, unknown cameras.

    A split puts one image of every tested identity among the queries and another in the gallery. The "camera" is the
    image's number in the sequence of its identity, so any two images have different cameras.
    """

    folders = ("QMUL-iLIDS", "i-LIDS_Pedestrian", "ilids/i-LIDS_Pedestrian")
    layout = "images or Persons, with images like 0001003.jpg: four digits of the identity, three of its sequence"
    signs = ("images", "Persons")
    dataset_name, letters = "ilids", "I"
    published = {"query": Counts(60, 60), "gallery": Counts(60, 60)}

    def read_images(self) -> list[Item]:
        persons = os.path.join(self.folder, "Persons")
        folder = persons if os.path.isdir(persons) else os.path.join(self.folder, "images")
        return list_images(folder, r"(\d{4})(\d{3})")

    def draw(self, chance: np.random.RandomState) -> Split:
        indices: dict[int, list[int]] = {}
        for index, (_, pid, _) in enumerate(self.images):
            indices.setdefault(pid, []).append(index)
        seen_twice = sorted(pid for pid in indices if len(indices[pid]) > 1)
        pairs = [chance.permutation(indices[pid])[:2].tolist() for pid in half(chance, seen_twice)]
        return Split(*map(list, zip(*pairs)))
