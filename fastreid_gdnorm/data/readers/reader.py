"""What every reader shares: where it looks, how it numbers, and one clear line when something is not there."""

from __future__ import annotations

import logging
import os
import re
from typing import Any, NamedTuple

from fastreid.config import CfgNode
from fastreid.data.datasets.bases import ImageDataset

from ...errors import UserError
from ..identities import Item
from .on_disk import GUIDE, found_elsewhere, no_root

logger = logging.getLogger("fastreid.gdnorm.readers")


class NotFound(UserError):
    """There is nothing of a data set where it is looked for."""


class Counts(NamedTuple):
    """What is published of a part of a data set; None where nothing is."""

    ids: int
    images: int
    cameras: int | None = None


class Reader(ImageDataset):
    """A data set on disk; a subclass says where it lies and reads its parts as items (path, pid, camera).

    As in fast-reid's own readers, identities and cameras are strings that carry ``dataset_name`` in training and
    integers in testing. The order of items is that of the file names, or of the data set's own lists.

    Raises:
        UserError: the data set, or a part of it, is not where it is looked for.
    """

    folders: tuple[str, ...] = ()  # where it is looked for under the root; the first that exists is read
    layout = ""  # what lies in that folder
    signs: tuple[str, ...] = ()  # some of it, by which a folder of another name is known
    letters = ""  # what papers call it
    variant = ""  # which of several data sets of that name this is, in words
    published: dict[
        str, Counts
    ] = {}  # {train, query, gallery or all: Counts}; all is what training with COMBINEALL gets

    def __init__(self, root: str = "datasets", **kwargs: Any) -> None:
        self.root, self.folder = root, self.locate(root)
        logger.info("%s: %s%s", type(self).__name__, self.folder, f", {self.variant}" if self.variant else "")
        self.open()
        super().__init__(lambda: self._for_training(self.read_train()), self.read_query, self.read_gallery, **kwargs)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """The constructor's arguments that say which variant a config means."""
        return {}

    def locate(self, root: str) -> str:
        """The folder of the data set under ``root``."""
        for folder in self.folders:
            if os.path.isdir(os.path.join(root, folder)):
                return os.path.join(root, folder)
        if not os.path.isdir(root):
            raise NotFound(f"data set {type(self).__name__}: {no_root(root)}; {GUIDE}")
        hint = found_elsewhere(root, [os.path.basename(folder) for folder in self.folders]) or self._found_similar(root)
        raise NotFound(
            f"data set {type(self).__name__}: {os.path.abspath(root)} has no folder {' or '.join(self.folders)}"
            f"{hint}; it holds {self.layout}; FASTREID_DATASETS names the folder of all data sets; {GUIDE}"
        )

    def _found_similar(self, root: str) -> str:
        """A hint, if under ``root`` is something of another name that may be the data set."""
        for sign in self.signs:
            if os.path.exists(os.path.join(root, sign)):
                return f" (it holds {sign} itself: that belongs into a folder {self.folders[0]})"
        for name in sorted(os.listdir(root)):
            path = os.path.join(root, name)
            if self.dataset_name not in re.sub("[^a-z0-9]", "", name.lower()):
                continue
            if not os.path.isdir(path):
                return f" (there is {name}: unpack it)"
            held = [sign for sign in self.signs if os.path.exists(os.path.join(path, sign))]
            if held:
                return f" (there is {name}, which holds {held[0]}: rename it to {self.folders[0]})"
            return f" (there is {name}, which holds no {' or '.join(self.signs)})"
        return ""

    def open(self) -> None:
        """Read what has to be known before any of its parts is."""

    def read_train(self) -> list[Item]:
        raise NotImplementedError

    def read_query(self) -> list[Item]:
        return []

    def read_gallery(self) -> list[Item]:
        return []

    def _for_training(self, items: list[Item]) -> list[Item]:
        return [(path, f"{self.dataset_name}_{pid}", f"{self.dataset_name}_{camera}") for path, pid, camera in items]
