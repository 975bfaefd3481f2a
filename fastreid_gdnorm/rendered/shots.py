"""Which images a rendered data set holds, in the folders and naming of Market-1501."""

from dataclasses import dataclass
from typing import NamedTuple

CAMERAS = 4
TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
STRANGERS = 10000  # distractors and junk get their looks from here on


class Shot(NamedTuple):
    """One image to take."""

    subset: str  # TRAIN, QUERY or GALLERY
    pid: int  # as the file is named: 0 is a distractor, -1 junk
    looks: int  # seeds the identity
    number: int  # among the identity's images

    @property
    def camera(self):
        """0..CAMERAS - 1: the cameras take an identity's images in turn."""
        return self.number % CAMERAS

    @property
    def file_name(self):
        """As Market-1501 names it: identity, camera, sequence, frame, detection."""
        pid = "-1" if self.pid == -1 else f"{self.pid:04d}"
        frame = 51 + 100 * max(self.pid, 0) + 25 * self.number
        return f"{pid}_c{self.camera + 1}s1_{frame:06d}_00.jpg"


@dataclass(frozen=True)
class Size:
    """How many identities and images a data set has. ValueError where no such set can be drawn.

    Identities 1..train_ids are for training, the next test_ids for testing; each test identity has a query
    from each of two cameras. The distractors and junk are single images of the gallery.
    """

    train_ids: int = 60
    test_ids: int = 40
    images_per_id: int = 8
    distractors: int = 40
    junk: int = 6

    def __post_init__(self):
        if self.images_per_id < 3:
            raise ValueError(f"images_per_id is {self.images_per_id}: two queries and a gallery image need 3 or more")
        ids = self.train_ids + self.test_ids
        if not 2 <= ids <= 1501:
            raise ValueError(f"train_ids + test_ids is {ids}: Market-1501 numbers 2 to 1501")

    def shots(self):
        """Every image of the data set as a list of `Shot`."""
        each, seen_by = range(self.images_per_id), min(CAMERAS, self.images_per_id)
        shots = [Shot(TRAIN, pid, pid, n) for pid in range(1, self.train_ids + 1) for n in each]
        for pid in range(self.train_ids + 1, self.train_ids + self.test_ids + 1):
            queries = (pid % seen_by, (pid + 2) % seen_by)
            shots += [Shot(QUERY if n in queries else GALLERY, pid, pid, n) for n in each]
        shots += [Shot(GALLERY, 0, STRANGERS + n, n) for n in range(self.distractors)]
        shots += [Shot(GALLERY, -1, STRANGERS + self.distractors + n, n) for n in range(self.junk)]
        return shots


DEFAULT_SIZE = Size()
