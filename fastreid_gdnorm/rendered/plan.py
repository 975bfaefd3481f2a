"""The images of a rendered data set, in Market-1501's folders and with its file names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

from ..data.readers.market_style import DISTRACTOR, JUNK

CAMERAS = 4
TRAIN, QUERY, GALLERY = SUBSETS = ("bounding_box_train", "query", "bounding_box_test")
STRANGERS = 10000  # seeds of distractors and junk start here


class Shot(NamedTuple):
    """One image to take."""

    subset: str  # one of SUBSETS
    pid: int  # identity in the file name; can be DISTRACTOR or JUNK
    looks: int  # seed of the appearance
    number: int  # among the identity's images

    @property
    def camera(self) -> int:
        """The camera, from 0; the images of an identity are taken by the cameras in turn."""
        return self.number % CAMERAS

    @property
    def path(self) -> str:
        """The image's path in the data set's folder."""
        pid = "-1" if self.pid == JUNK else f"{self.pid:04d}"
        frame = 51 + 100 * max(self.pid, 0) + 25 * self.number
        return os.path.join(self.subset, f"{pid}_c{self.camera + 1}s1_{frame:06d}_00.jpg")


@dataclass(frozen=True)
class Plan:
    """How many images to render. Identities 1..train_ids are for training, the next test_ids for testing."""

    train_ids: int = 60
    test_ids: int = 40
    images_per_id: int = 8
    distractors: int = 40
    junk: int = 6

    def __post_init__(self) -> None:
        if self.images_per_id < 3:
            raise ValueError(
                f"images_per_id must be 3 or more, for two queries and a gallery image; got {self.images_per_id}"
            )
        ids = self.train_ids + self.test_ids
        if not 2 <= ids <= 1501:
            raise ValueError(f"train_ids + test_ids must be from 2 to 1501, as in Market-1501; got {ids}")

    def shots(self) -> list[Shot]:
        """All images; each test identity has one query from each of two cameras."""
        numbers = range(self.images_per_id)
        shots = [Shot(TRAIN, pid, pid, n) for pid in range(1, self.train_ids + 1) for n in numbers]
        for pid in range(self.train_ids + 1, self.train_ids + self.test_ids + 1):
            seen_by = min(CAMERAS, self.images_per_id)
            queries = (pid % seen_by, (pid + 2) % seen_by)
            shots += [Shot(QUERY if n in queries else GALLERY, pid, pid, n) for n in numbers]
        shots += [Shot(GALLERY, DISTRACTOR, STRANGERS + n, n) for n in range(self.distractors)]
        shots += [Shot(GALLERY, JUNK, STRANGERS + self.distractors + n, n) for n in range(self.junk)]
        return shots
