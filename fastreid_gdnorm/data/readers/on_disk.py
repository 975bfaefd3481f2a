"""The parts of a data set on disk, and one clear line where one is not there or is not what it should be."""

from __future__ import annotations

import logging
import os
import re
from typing import Any

from numpy.typing import NDArray
from scipy.io import loadmat

from ...errors import UserError
from ...image_loading import is_litter, is_picture
from ..identities import Item

logger = logging.getLogger("fastreid.gdnorm.readers")

GUIDE = "projects/GDNorm/DATASETS.md says what lies where"


def list_images(folder: str, pattern: str) -> list[Item]:
    """The images of a folder whose names fit, as [(path, *groups)], the groups as integers, in order of name.

    A warning counts what is left out: folders, files whose suffixes are not those of images, names that do not fit, and
    an image's copies in other formats. Hidden files are passed over.

    Args:
        pattern: of a whole name without its suffix, which may be any of an image, in any case.

    Raises:
        UserError: no such folder, or no such file in it.
    """
    check_folder(folder)
    try:
        with os.scandir(folder) as entries:
            is_folder = {entry.name: entry.is_dir() for entry in entries if not is_litter(entry.name)}
    except OSError as error:
        raise UserError(f"cannot search folder {folder} ({error.strerror}): change its permissions") from error
    images: dict[str, Item] = {}
    left_out: dict[str, list[str]] = {}
    for name in sorted(is_folder):
        stem, suffix = os.path.splitext(name)
        match = re.fullmatch(pattern, stem)
        if is_folder[name]:
            left_out.setdefault("folders", []).append(name)
        elif not is_picture(name):
            left_out.setdefault(f"with the suffix {suffix}" if suffix else "without a suffix", []).append(name)
        elif not match:
            left_out.setdefault("whose names do not fit", []).append(name)
        elif stem in images:
            left_out.setdefault("that are copies in another format", []).append(name)
        else:
            images[stem] = (os.path.join(folder, name), *map(int, match.groups()))
    whys = ", ".join(f"{len(names)} {why} (the first is {names[0]})" for why, names in left_out.items())
    if not images:
        raise UserError(f"{folder} has no image whose name is like {pattern}: {whys or 'it is empty'}; {GUIDE}")
    if left_out:
        logger.warning("%s: %d of %d left out: %s", folder, len(is_folder) - len(images), len(is_folder), whys)
    return list(images.values())


def read_list(path: str) -> list[tuple[str, int]]:
    """The lines "image identity" of one of a data set's own lists, as [(image, identity)].

    Raises:
        UserError: there is no such file, or it has other lines.
    """
    if not os.path.isfile(path):
        folder, name = os.path.split(path)
        raise UserError(f"list file {path} is not there{found_elsewhere(folder, [name])}; {GUIDE}")
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        lines = [line.split() for line in file if line.strip()]
    if not lines or not all(len(line) == 2 and line[1].isdecimal() for line in lines):
        raise UserError(f"list file {path} must have an image and its identity on every line: unpack it again")
    return [(image, int(pid)) for image, pid in lines]


def read_mat(path: str, *needed: str) -> dict[str, NDArray[Any]]:
    """What a .mat file holds.

    Raises:
        UserError: it is not there, cannot be read, or lacks one of the variables ``needed``.
    """
    try:
        held = loadmat(path)
        return {name: held[name] for name in needed}
    except FileNotFoundError:
        raise UserError(f"{path} is not there; {GUIDE}") from None
    except KeyError as error:
        raise UserError(f"{path} holds no {error}: get it again; {GUIDE}") from error
    except Exception as error:  # scipy raises all kinds for damaged files
        raise UserError(f"cannot read {path} ({error}): get it again; {GUIDE}") from error


def check_folder(folder: str) -> None:
    """Raises UserError if ``folder`` is not there, naming what of its path is missing, and where that may be."""
    if not os.path.isdir(folder):
        parent, name = os.path.split(folder)
        while not os.path.isdir(parent):
            parent, name = os.path.split(parent)
        raise UserError(f"{parent} has no folder {name}{found_elsewhere(parent, [name])}; {GUIDE}")


def no_root(root: str) -> str:
    """What to say if the folder of all data sets is not there."""
    if os.getenv("FASTREID_DATASETS"):
        return f"{os.path.abspath(root)}, which FASTREID_DATASETS names, is not a folder"
    return f"{os.path.abspath(root)} is not a folder; set FASTREID_DATASETS to the folder of all data sets"


def found_elsewhere(folder: str, names: list[str]) -> str:
    """A hint, if one of the names is a level or two below its place, is the folder itself, or is in another case."""
    wanted = {name.lower() for name in names}
    if os.path.basename(os.path.abspath(folder)).lower() in wanted:
        return " (it is that folder itself: one level up is meant)"
    for parent, subfolders, files in os.walk(folder):
        subfolders.sort()
        for name in filter(lambda name: name.lower() in wanted, [*subfolders, *sorted(files)]):
            if parent != folder:
                return f" (there is one in {parent}: move it up)"
            if name not in names:
                return f" (there is {name}: rename it)"
        if parent.count(os.sep) - str(folder).count(os.sep) == 2:
            subfolders.clear()
    return ""
