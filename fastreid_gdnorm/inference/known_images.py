"""What is known of a gallery's images, and what becomes of it when they are given again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..image_names import canonical_camera
from .records import Record


class Changes(NamedTuple):
    """What adding images has done.

    Args:
        added: images whose contents are new.
        updated: known contents of which something else is known now: path, camera, time or identity.
        unchanged: known contents of which nothing else is known.
        replaced: images that are gone, as other contents are at their path now.
        copies: images left out, as they have the contents of another one that was given.
    """

    added: int
    updated: int
    unchanged: int
    replaced: int
    copies: int


def absolute(records: Iterable[Record]) -> list[Record]:
    """With paths that hold in any working directory."""
    return [record._replace(path=os.path.abspath(record.path)) for record in records]


def with_canonical_camera(record: Record) -> Record:
    """With its camera in the form of :func:`canonical_camera`."""
    camera = canonical_camera(record.camera)
    return record if camera == record.camera else record._replace(camera=camera)


def joined(records: Sequence[Record]) -> Record:
    """What several records of one image say: each field as the first one says that knows it."""
    return Record(*(next(filter(None, values), "") for values in zip(*records)))
