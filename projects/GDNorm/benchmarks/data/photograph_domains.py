"""Domains of photographs: the pairs of cameras of CUHK03 and CUHK02, as a plugin for fast-reid.

Importing it registers CUHK03Pair1, CUHK03Pair2, CUHK03Pairs3to5 and CUHK01 as data sets. Each trains on all of its
images. In a test, the first camera of every pair takes the queries and the second the gallery. The test leaves out
every fifth person, so that a site can adapt to images of them (``read_site``).
"""

import os

import fastreid_gdnorm  # noqa: F401  before fastreid, which it patches

# isort: split

from fastreid.data.datasets import DATASET_REGISTRY

from fastreid_gdnorm.data.readers.on_disk import list_images
from fastreid_gdnorm.data.readers.reader import Counts, Reader


class CameraPairs(Reader):
    """Some of a data set's pairs of cameras, each of which saw different people."""

    def read_all(self):
        """Items (path, identity, pair, view); the view is 1 or 2."""
        raise NotImplementedError

    def read_train(self):
        return [(path, f"{pair}_{pid}", f"{pair}_{view}") for path, pid, pair, view in self.read_all()]

    def read_query(self):
        return [_numbered(item) for item in self.read_all() if item[3] == 1 and not _is_of_site(item)]

    def read_gallery(self):
        return [_numbered(item) for item in self.read_all() if item[3] == 2 and not _is_of_site(item)]

    def read_site(self):
        """Items (path, identity, camera) of the people who are not in the test, numbered as in the test."""
        return [_numbered(item) for item in self.read_all() if _is_of_site(item)]


def _is_of_site(item):
    _, pid, _, _ = item
    return pid % 5 == 0


def _numbered(item):
    path, pid, pair, view = item
    return path, 10_000 * pair + pid, 2 * pair + view


class CUHK03Pairs(CameraPairs):
    """Some pairs of CUHK03's detected images, named as fast-reid extracts them: ``1_001_1_01.png``."""

    folders = ("cuhk03", "CUHK03")
    layout = "images_detected"
    signs = ("images_detected",)
    pairs = ()

    def read_all(self):
        images = list_images(os.path.join(self.folder, "images_detected"), r"(\d)_(\d+)_(\d)_\d+")
        return [(path, pid, pair, view) for path, pair, pid, view in images if pair in self.pairs]


@DATASET_REGISTRY.register()
class CUHK03Pair1(CUHK03Pairs):
    pairs, dataset_name = (1,), "cuhk03pair1"
    published = {"train": Counts(843, 8177, 2)}


@DATASET_REGISTRY.register()
class CUHK03Pair2(CUHK03Pairs):
    pairs, dataset_name = (2,), "cuhk03pair2"
    published = {"train": Counts(440, 4337, 2)}


@DATASET_REGISTRY.register()
class CUHK03Pairs3to5(CUHK03Pairs):
    pairs, dataset_name = (3, 4, 5), "cuhk03pairs3to5"
    published = {"train": Counts(184, 1583, 6)}


@DATASET_REGISTRY.register()
class CUHK01(CameraPairs):
    """CUHK01 (Li, Zhao and Wang 2012), the first pair of CUHK02."""

    folders = ("cuhk02", "CUHK02")
    layout = "P1 with cam1 and cam2, in it or in Dataset"
    signs = ("P1", "Dataset")
    dataset_name = "cuhk01"
    published = {"train": Counts(971, 3884, 2)}

    def read_all(self):
        nested = os.path.join(self.folder, "Dataset")
        folder = os.path.join(nested if os.path.isdir(nested) else self.folder, "P1")
        return [
            (path, pid, 1, view)
            for view in (1, 2)
            for path, pid in list_images(os.path.join(folder, f"cam{view}"), r"(\d+)_.*")
        ]
