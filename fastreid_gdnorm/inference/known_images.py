"""Records of a gallery's images, and how they change when images are indexed again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..image_names import canonical_camera
from .records import Record


class Changes(NamedTuple):
    """Numbers of images that an update of a gallery changed.

    Args:
        added: new images.
        updated: known images whose path, camera, time or identity changed.
        unchanged: known images with nothing new.
        replaced: images removed because their file now has other contents.
        copies: given images left out as copies of other given images.
    """

    added: int
    updated: int
    unchanged: int
    replaced: int
    copies: int


def absolute(records: Iterable[Record]) -> list[Record]:
    """The records with absolute paths."""
    return [record._replace(path=os.path.abspath(record.path)) for record in records]


def with_canonical_camera(record: Record) -> Record:
    """The record with its camera in the form of :func:`canonical_camera`."""
    camera = canonical_camera(record.camera)
    return record if camera == record.camera else record._replace(camera=camera)


def joined(records: Sequence[Record]) -> Record:
    """Merge several records of one image; each field takes the first value that is not empty."""
    return Record(*(next(filter(None, values), "") for values in zip(*records)))
