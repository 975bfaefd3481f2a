"""Small targets that are tested on several random splits."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np

from ...errors import UserError
from ..identities import Item
from .on_disk import list_images
from .reader import Reader

logger = logging.getLogger("fastreid.gdnorm.splits")

SPLITS = 10
SPLITS_FILE = "splits.json"


class Split(NamedTuple):
    """One test: indices into a reader's ``images``."""

    query: list[int]
    gallery: list[int]


class SingleShot(Reader):
    """A data set with ten splits, each with one image per identity among the queries and one in the gallery.

    A split tests half of the identities, rounded up. ``images`` has every image once, and ``splits`` select from them.
    Code that does not know about splits sees split 0, with the other identities as ``train``.

    A splits.json takes precedence over random splits: a list of {"query": [[path, pid, camera], ...], "gallery": ...},
    as torchreid writes it, with paths relative to the data set. It can be in the data set's folder or, like
    torchreid's, above it. ``origin`` says where the splits come from.
    """

    splits_files: tuple[str, ...] = (SPLITS_FILE,)
    origin = "splits of its own reader"

    def open(self) -> None:
        self.images = self.read_images()
        self.splits = self.official_splits() or self.users_splits() or self.drawn_splits()
        logger.info("%s: %s", type(self).__name__, self.origin)

    def read_images(self) -> list[Item]:
        """All images as items (path, pid, camera), sorted by path within each folder."""
        raise NotImplementedError

    def draw(self, chance: np.random.RandomState) -> Split:
        """A random split."""
        raise NotImplementedError

    def official_splits(self) -> list[Split] | None:
        """The splits that come with the data set, or None."""
        return None

    def users_splits(self) -> list[Split] | None:
        """The splits of splits.json, or None if it does not exist."""
        for folder in self._folder_and_those_above():
            for path in filter(os.path.isfile, (os.path.join(folder, name) for name in self.splits_files)):
                try:
                    splits = read_splits(path, [image[0] for image in self.images])
                except UserError as error:
                    if os.path.realpath(folder) != os.path.realpath(self.root):
                        raise
                    logger.warning("%s: ignored splits in the folder of all data sets: %s", type(self).__name__, error)
                    continue
                self.origin = f"{len(splits)} splits from {path}"
                return splits
        return None

    def _folder_and_those_above(self) -> list[str]:
        depth = len(os.path.relpath(self.folder, self.root).split(os.sep))
        return [os.path.normpath(os.path.join(self.folder, *[os.pardir] * up)) for up in range(depth + 1)]

    def drawn_splits(self) -> list[Split]:
        """Random splits that depend only on the sorted identities and the split's number: the same everywhere."""
        self.origin = f"{SPLITS} splits drawn from its sorted identities"
        # unlike Generator's, RandomState's stream is the same in every version of NumPy (NEP 19)
        return [self.draw(np.random.RandomState(number)) for number in range(SPLITS)]

    def read_train(self) -> list[Item]:
        tested = {self.images[index][1] for index in (*self.splits[0].query, *self.splits[0].gallery)}
        return [item for item in self.images if item[1] not in tested]

    def read_query(self) -> list[Item]:
        return [self.images[index] for index in self.splits[0].query]

    def read_gallery(self) -> list[Item]:
        return [self.images[index] for index in self.splits[0].gallery]


class TwoViews(SingleShot):
    """Queries from one camera; the gallery from the other, with everyone who was seen only there."""

    views: tuple[str, str] = ("cam_a", "cam_b")  # the folders of the two cameras
    pattern = ""  # of names without suffixes; its group is the identity

    def draw(self, chance: np.random.RandomState) -> Split:
        return self.split_of(half(chance, self.shared))

    def read_images(self) -> list[Item]:
        queries, gallery = self.read_views()
        self.num_probes = len(queries)
        seen_in_both = {item[1] for item in queries} & {item[1] for item in gallery}
        self.shared = sorted(seen_in_both)
        return queries + gallery

    def read_views(self) -> tuple[list[Item], list[Item]]:
        """The items of the queries' camera, and those of the gallery's."""
        queries, gallery = (
            [(path, pid, camera) for path, pid in list_images(os.path.join(self.folder, view), self.pattern)]
            for camera, view in enumerate(self.views)
        )
        return queries, gallery

    def split_of(self, tested: Collection[int]) -> Split:
        """The split that tests the identities ``tested``, without the other identities that are in both views."""
        out = set(self.shared) - set(tested)
        query = [index for index in range(self.num_probes) if self.images[index][1] in tested]
        gallery = [index for index in range(self.num_probes, len(self.images)) if self.images[index][1] not in out]
        return Split(query, gallery)


def half(chance: np.random.RandomState, identities: list[int]) -> list[int]:
    """Half of the sorted identities, rounded up, in a random order."""
    return [identities[index] for index in chance.permutation(len(identities))[: (len(identities) + 1) // 2]]


def read_splits(path: str, images: list[str]) -> list[Split]:
    """The splits of a splits.json, as indices into the paths ``images``.

    Raises:
        UserError: the file has another format, or names an image that does not exist.
    """
    indices: dict[str, int | None] = {}
    for index, image in enumerate(images):
        name = _end_of(image, 1)
        indices[name] = None if name in indices else index  # None: the name is in two folders
        indices[_end_of(image, 2)] = index

    def index_of(item: Any) -> int:
        # the file may come from another machine, so only the last folder and the name count
        image = item if isinstance(item, str) else str(item[0])
        index = indices.get(_end_of(image, 2))
        if index is None:
            raise UserError(
                f"{path} names {image}, but {_end_of(image, 2)} does not exist or is in two folders: repair or remove "
                f"{path}"
            )
        return index

    try:
        with open(path, encoding="utf-8-sig") as file:
            splits = [
                Split([index_of(item) for item in split["query"]], [index_of(item) for item in split["gallery"]])
                for split in json.load(file)
            ]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(
            f"{path} is not a list of splits with query and gallery ({error!r}): repair or remove it"
        ) from error
    if not splits or not all(split.query and split.gallery for split in splits):
        raise UserError(f"{path} has an empty split: repair or remove it")
    if any(set(split.query) & set(split.gallery) for split in splits):
        raise UserError(f"{path} has a split with an image in both query and gallery: repair or remove it")
    return splits


def _end_of(path: str, parts: int) -> str:
    return "/".join(path.replace("\\", "/").split("/")[-parts:])
