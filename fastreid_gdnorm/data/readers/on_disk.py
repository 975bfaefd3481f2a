"""Reads the parts of a data set on disk, with a one-line error for a part that is missing or wrong."""

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

GUIDE = "projects/GDNorm/DATASETS.md describes the layout"


def list_images(folder: str, pattern: str) -> list[Item]:
    """The images of a folder whose names match, as [(path, *groups)] in the order of names; groups become integers.

    A warning counts what is left out: folders, files without the suffix of an image, names that do not match, and
    copies of an image in another format. Hidden files are ignored.

    Args:
        pattern: must match the whole name without its suffix. The suffix can be that of any image format, in any case.

    Raises:
        UserError: the folder does not exist, or no name matches.
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
            left_out.setdefault("with names that do not match", []).append(name)
        elif stem in images:
            left_out.setdefault("that are copies in another format", []).append(name)
        else:
            images[stem] = (os.path.join(folder, name), *map(int, match.groups()))
    whys = ", ".join(f"{len(names)} {why} (the first is {names[0]})" for why, names in left_out.items())
    if not images:
        raise UserError(f"{folder} has no image whose name matches {pattern}: {whys or 'it is empty'}; {GUIDE}")
    if left_out:
        logger.warning("%s: left out %d of %d: %s", folder, len(is_folder) - len(images), len(is_folder), whys)
    return list(images.values())


def read_list(path: str) -> list[tuple[str, int]]:
    """Read a data set's list file of lines "image identity", as [(image, identity)].

    Raises:
        UserError: the file does not exist or has other lines.
    """
    if not os.path.isfile(path):
        folder, name = os.path.split(path)
        raise UserError(f"list file {path} does not exist{found_elsewhere(folder, [name])}; {GUIDE}")
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        lines = [line.split() for line in file if line.strip()]
    if not lines or not all(len(line) == 2 and line[1].isdecimal() for line in lines):
        raise UserError(f"list file {path} must have an image and its identity on every line: unpack it again")
    return [(image, int(pid)) for image, pid in lines]


def read_mat(path: str, *needed: str) -> dict[str, NDArray[Any]]:
    """Read variables from a .mat file.

    Raises:
        UserError: the file does not exist, cannot be read, or lacks one of the variables ``needed``.
    """
    try:
        held = loadmat(path)
        return {name: held[name] for name in needed}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; {GUIDE}") from None
    except KeyError as error:
        raise UserError(f"{path} has no variable {error}: download it again; {GUIDE}") from error
    except Exception as error:  # scipy raises all kinds of errors for damaged files
        raise UserError(f"cannot read {path} ({error}): download it again; {GUIDE}") from error


def check_folder(folder: str) -> None:
    """Raise UserError if ``folder`` does not exist, naming the missing part of the path and where it may be."""
    if not os.path.isdir(folder):
        parent, name = os.path.split(folder)
        while not os.path.isdir(parent):
            parent, name = os.path.split(parent)
        raise UserError(f"{parent} has no folder {name}{found_elsewhere(parent, [name])}; {GUIDE}")


def no_root(root: str) -> str:
    """The error for a missing folder of all data sets."""
    if os.getenv("FASTREID_DATASETS"):
        return f"{os.path.abspath(root)}, which FASTREID_DATASETS names, is not a folder"
    return f"{os.path.abspath(root)} is not a folder; set FASTREID_DATASETS to the folder of all data sets"


def found_elsewhere(folder: str, names: list[str]) -> str:
    """A hint if one of the names is one or two levels too deep, is the folder itself, or differs in case."""
    wanted = {name.lower() for name in names}
    if os.path.basename(os.path.abspath(folder)).lower() in wanted:
        return " (this is that folder itself: use the folder above it)"
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
