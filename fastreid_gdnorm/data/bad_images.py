"""Finds images of a data set that are missing or damaged."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from fastreid.data import common

from ..console import progress
from ..errors import UserError


def list_faults(name: str, paths: Sequence[str], decode: bool = True) -> list[str]:
    """What is wrong with images, one line for each that is missing, empty or damaged.

    Args:
        name: the data set, for the progress bar.
        decode: whether to decode every image, using all cores.
    """
    empty = [path for path in paths if not (os.path.isfile(path) and os.path.getsize(path))]
    faults = [f"{path} {'is empty' if os.path.isfile(path) else 'does not exist'}" for path in empty]
    if not decode:
        return faults
    full = sorted({*paths} - {*empty})
    with ProcessPoolExecutor(os.cpu_count()) as pool, progress(f"decoding {name}", len(full)) as advance:
        for fault in pool.map(_fault, full, chunksize=32):
            faults += [fault] if fault else []
            advance(1)
    return faults


def counted(faults: Sequence[str]) -> str:
    """The line above a list of bad images."""
    count = "1 image is" if len(faults) == 1 else f"{len(faults)} images are"
    return f"{count} empty, damaged or missing:"


def _fault(path: str) -> str | None:
    try:
        common.read_image(path)
    except UserError as error:
        return str(error)
    return None
