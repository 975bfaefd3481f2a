"""What all readers share: where they look, how they number, and one-line errors for what is missing."""

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
    """A data set is not in the expected place."""


class Counts(NamedTuple):
    """The published size of a part of a data set; None if unpublished."""

    ids: int
    images: int
    cameras: int | None = None


class Reader(ImageDataset):
    """A data set on disk. Subclasses say where it is, and read its parts as items (path, pid, camera).

    As in fast-reid's own readers, identities and cameras are strings that start with ``dataset_name`` in training, and
    integers in testing. Items are in the order of the file names, or of the data set's own lists.

    Raises:
        UserError: the data set, or a part of it, is missing.
    """

    folders: tuple[str, ...] = ()  # candidates under the root; the first that exists is used
    layout = ""  # what the folder contains
    signs: tuple[str, ...] = ()  # parts that identify the folder under another name
    letters = ""  # its abbreviation in papers
    variant = ""  # the variant that is read, in words
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
        """The constructor arguments that select the config's variant."""
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
            f"{hint}; such a folder must contain {self.layout}; FASTREID_DATASETS names the folder of all data sets; "
            f"{GUIDE}"
        )

    def _found_similar(self, root: str) -> str:
        """A hint if something under ``root`` may be the data set under another name."""
        for sign in self.signs:
            if os.path.exists(os.path.join(root, sign)):
                return f" (it contains {sign} itself: move that into a folder {self.folders[0]})"
        for name in sorted(os.listdir(root)):
            path = os.path.join(root, name)
            if self.dataset_name not in re.sub("[^a-z0-9]", "", name.lower()):
                continue
            if not os.path.isdir(path):
                return f" (there is {name}: unpack it)"
            held = [sign for sign in self.signs if os.path.exists(os.path.join(path, sign))]
            if held:
                return f" (there is {name}, which contains {held[0]}: rename it to {self.folders[0]})"
            return f" (there is {name}, but without {' or '.join(self.signs)})"
        return ""

    def open(self) -> None:
        """Read what all parts depend on."""

    def read_train(self) -> list[Item]:
        raise NotImplementedError

    def read_query(self) -> list[Item]:
        return []

    def read_gallery(self) -> list[Item]:
        return []

    def _for_training(self, items: list[Item]) -> list[Item]:
        return [(path, f"{self.dataset_name}_{pid}", f"{self.dataset_name}_{camera}") for path, pid, camera in items]
