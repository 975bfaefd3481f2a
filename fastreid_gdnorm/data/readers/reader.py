"""What every reader shares: where it looks, how it numbers, and one clear line when something is not there."""

import logging
import os
import re
from typing import NamedTuple, Optional

from fastreid.data.datasets.bases import ImageDataset
from scipy.io import loadmat

from ...errors import UserError

logger = logging.getLogger("fastreid.gdnorm.readers")

GUIDE = "projects/GDNorm/DATASETS.md says what lies where"


class Counts(NamedTuple):
    """What is published of a part of a data set; None where nothing is."""

    ids: int
    images: int
    cameras: Optional[int] = None


class Reader(ImageDataset):
    """A data set on disk; a subclass says where it lies and reads its parts as items (path, pid, camera).

    As in fast-reid's own readers, identities and cameras are strings that carry ``dataset_name`` in training and
    integers in testing. The order of items is that of the file names, or of the data set's own lists.

    Raises:
        UserError: the data set, or a part of it, is not where it is looked for.
    """

    folders = ()  # where it is looked for under the root; the first that exists is read
    layout = ""  # what lies in that folder
    letters = ""  # what papers call it
    variant = ""  # which of several data sets of that name this is, in words
    published = {}  # {train, query, gallery or all: Counts}; all is what training with COMBINEALL gets

    def __init__(self, root="datasets", **kwargs):
        self.folder = self.locate(root)
        logger.info("%s: %s%s", type(self).__name__, self.folder, f", {self.variant}" if self.variant else "")
        self.open()
        super().__init__(lambda: self._for_training(self.read_train()), self.read_query, self.read_gallery, **kwargs)

    @classmethod
    def from_config(cls, cfg):
        """The constructor's arguments that say which variant a config means."""
        return {}

    def locate(self, root):
        """The folder of the data set under ``root``."""
        for folder in self.folders:
            if os.path.isdir(os.path.join(root, folder)):
                return os.path.join(root, folder)
        raise UserError(
            f"data set {type(self).__name__}: {os.path.abspath(root)} has no folder {' or '.join(self.folders)}"
            f"{_found_elsewhere(root, [os.path.basename(folder) for folder in self.folders])}; it holds {self.layout}; "
            f"FASTREID_DATASETS names the folder of all data sets; {GUIDE}"
        )

    def open(self):
        """Read what has to be known before any of its parts is."""

    def read_train(self):
        raise NotImplementedError

    def read_query(self):
        return []

    def read_gallery(self):
        return []

    def _for_training(self, items):
        return [(path, f"{self.dataset_name}_{pid}", f"{self.dataset_name}_{camera}") for path, pid, camera in items]


def list_images(folder, pattern):
    """The files of a folder whose whole name matches, as [(path, *groups)], the groups as integers, in order of name.

    Raises:
        UserError: no such folder, or no such file in it.
    """
    check_folder(folder)
    matches = [(name, re.fullmatch(pattern, name)) for name in sorted(os.listdir(folder))]
    images = [(os.path.join(folder, name), *map(int, match.groups())) for name, match in matches if match]
    if not images:
        raise UserError(f"{folder} has no image whose name is like {pattern} among its {len(matches)} files; {GUIDE}")
    return images


def read_list(path):
    """The lines "image identity" of one of a data set's own lists, as [(image, identity)].

    Raises:
        UserError: there is no such file, or it has other lines.
    """
    if not os.path.isfile(path):
        folder, name = os.path.split(path)
        raise UserError(f"list file {path} is not there{_found_elsewhere(folder, [name])}; {GUIDE}")
    with open(path) as file:
        lines = [line.split() for line in file if line.strip()]
    if not lines or not all(len(line) == 2 and line[1].isdigit() for line in lines):
        raise UserError(f"list file {path} must have an image and its identity on every line: unpack it again")
    return [(image, int(pid)) for image, pid in lines]


def read_mat(path):
    """What a .mat file holds.

    Raises:
        UserError: it is not there, or cannot be read.
    """
    try:
        return loadmat(path)
    except FileNotFoundError:
        raise UserError(f"{path} is not there; {GUIDE}") from None
    except Exception as error:  # scipy raises all kinds for damaged files
        raise UserError(f"cannot read {path} ({error}): get it again; {GUIDE}") from error


def check_folder(folder):
    """Raises UserError if ``folder`` is not there, naming what of its path is missing, and where that may be."""
    if not os.path.isdir(folder):
        parent, name = os.path.split(folder)
        while not os.path.isdir(parent):
            parent, name = os.path.split(parent)
        raise UserError(f"{parent} has no folder {name}{_found_elsewhere(parent, [name])}; {GUIDE}")


def _found_elsewhere(folder, names):
    """A hint, if one of the names lies a level or two below where it should, or is the folder itself."""
    if os.path.basename(os.path.abspath(folder)) in names:
        return " (it is that folder itself: one level up is meant)"
    for parent, subfolders, files in os.walk(folder):
        for name in names:
            if name in [*subfolders, *files] and parent != folder:
                return f" (there is one in {parent}: move it up)"
        if parent.count(os.sep) - str(folder).count(os.sep) == 2:
            subfolders.clear()
    return ""
