"""CUHK-SYSU, a data set for person search, as crops for re-identification."""

from __future__ import annotations

import os

from ..identities import Item
from .on_disk import list_images
from .reader import Counts, Reader

FORMS = (("cropped_images",), ("cropped_image",), ("bounding_box_train", "query", "bounding_box_test"))
PATTERN = r"p?(\d+)_(?:s|n\d+_s|c)\d.*"  # p11422_s16929_1, p00001_n01_s00001_hard0, 0001_c1_00001


class DGCUHKSYSU(Reader):
    """Crops of CUHK-SYSU (Xiao et al. 2017), for training only. Its cameras are unknown, so all are camera 0."""

    folders = ("CUHK-SYSU", "cuhk_sysu")
    layout = "cropped_images, or cropped_image, or bounding_box_train, query and bounding_box_test"
    signs = tuple(form[0] for form in FORMS)
    dataset_name, letters = "cuhksysu", "CS"
    published = {"train": Counts(11934, 34574, 1)}

    def read_train(self) -> list[Item]:
        found = [form for form in FORMS if os.path.isdir(os.path.join(self.folder, form[0]))]
        folders = [os.path.join(self.folder, part) for part in (found or FORMS)[0]]
        return [(path, pid, 0) for folder in folders for path, pid in list_images(folder, PATTERN)]
