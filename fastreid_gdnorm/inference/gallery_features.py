"""The files of a gallery's features: .npy files that are mapped into memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from ..disk import replacing
from .feature_parts import Part
from .saved_files import SavedFile

PART_BYTES = 2**26  # a file below this size is joined with features that come after it


def grouped(parts: Sequence[Part], on_disk: Collection[SavedFile]) -> list[Part | list[Part]]:
    """Say which parts keep their files, and which ones are written into a file together.

    Args:
        on_disk: the files that can be kept.

    Returns:
        In the order of the features, parts that keep their files, and lists of parts.
    """
    groups: list[list[Part]] = []
    for part in parts:
        is_full = part.saved in on_disk and part.nbytes >= PART_BYTES
        if groups and not is_full and sum(other.nbytes for other in groups[-1]) < PART_BYTES:
            groups[-1].append(part)
        else:
            groups.append([part])
    return [group[0] if len(group) == 1 and group[0].saved in on_disk else group for group in groups]


def write_features(file: Path, parts: Sequence[Part]) -> Part:
    """Write parts one after the other into a file, and map it."""
    shape = (sum(map(len, parts)), parts[0].array.shape[1])
    with replacing(file) as part, open(part, "wb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        for block in (block for each in parts for block in each.blocks()):
            stream.write(np.ascontiguousarray(block, "<f4").data)
    return read_features(file.parent, SavedFile.of(file), shape[1])


def read_features(folder: Path, saved: SavedFile, length: int) -> Part:
    """Map a file of features of this length into memory; changes to the array stay in memory.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it has changed, or does not hold such features.
    """
    saved = saved.checked(folder)
    try:
        array = np.load(folder / saved.name, mmap_mode="c", allow_pickle=False)
    except EOFError as error:
        raise ValueError(f"{saved.name} is empty") from error
    if array.dtype != np.float32 or array.ndim != 2 or array.shape[1] != length:
        raise ValueError(f"{saved.name} has {array.dtype} of shape {array.shape}, not float32 of shape (N, {length})")
    return Part(array.view(np.ndarray), saved=saved)
