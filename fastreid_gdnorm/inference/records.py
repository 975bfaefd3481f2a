"""Records of images: path, camera, time and identity, read from file names or from a table."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..errors import UserError
from ..image_loading import is_picture, list_folder
from ..image_names import official
from ..image_tables import Row, is_table, read_table

logger = logging.getLogger(__name__)  # without a handler, warnings go to stderr


class Record(NamedTuple):
    """An image's path, camera, time and identity; unknown fields are empty."""

    path: str
    camera: str = ""
    time: str = ""
    identity: str = ""


def find_images(sources: Iterable[str]) -> list[Record]:
    """Find the images named on a command line: files, folders, quoted glob patterns, and tables.

    A table is a file that :func:`read_table` takes. Its columns ``split`` and ``track`` have no effect here; a
    ``domain`` is put in front of the identity, since equal identities of two domains are two people. For all other
    images, camera, time and identity are read from file names that follow the full pattern of Market-1501 or
    DukeMTMC-reID. Identities below 1 in names mark distractors and junk and are dropped. For each folder, pattern or
    list of files, a warning says how many names could be read and how many files were left out.

    Raises:
        UserError: a file does not exist, a folder has no images, or a table is invalid.
    """
    records: list[Record] = []
    files = []
    for source in sources:
        if is_table(source):
            records += map(record_of, read_table(source))
        elif os.path.isfile(source):
            records.append(_from_name(source))
            files.append(source)
        else:
            paths = list_folder(source) if os.path.isdir(source) else _matches(source)
            records += map(_from_name, paths)
            _report_names(source, paths)
    if len(files) > 1:
        _report_names(f"{files[0]} and {len(files) - 1} more", files)
    return records


def record_of(row: Row) -> Record:
    """The record of a table's row, with its domain in front of its identity."""
    identity = f"{row.domain} {row.identity}" if row.domain and row.identity else row.identity
    return Record(row.path, row.camera, row.time, identity)


def _matches(pattern: str) -> list[str]:
    # ** follows links, even in a circle: each file counts once, by its real folder and its name.
    places: dict[tuple[str, str], str] = {}
    for path in sorted(glob.glob(pattern, recursive=True), key=lambda path: (len(path), path)):
        folder, name = os.path.split(path)
        places.setdefault((os.path.realpath(folder), name), path)
    matches = sorted(places.values())
    found = [path for path in matches if is_picture(os.path.basename(path)) and os.path.isfile(path)]
    if not matches:
        raise UserError(f"{pattern} is not a file or folder and matches no files: check the path")
    if not found:
        raise UserError(f"{pattern} matches no images: the first of its {len(matches)} matches is {matches[0]}")
    others = sorted(set(matches) - set(found))
    if "**" in pattern:
        others = [path for path in others if not os.path.isdir(path)]
    if others:
        logger.warning(
            "%s: left out %d of %d matches, because they are folders or have no image suffix; the first is %s",
            *(pattern, len(others), len(found) + len(others), others[0]),
        )
    return found


def _report_names(source: str, paths: Sequence[str]) -> None:
    """Warn how many names identity and camera could be read from."""
    others = [os.path.basename(path) for path in paths if not official(path)]
    reason = f"; the others, such as {others[0]}, do not follow Market-1501 or DukeMTMC-reID" if others else ""
    logger.warning(
        "%s: read identity and camera from %d of %d names%s", source, len(paths) - len(others), len(paths), reason
    )


def _from_name(path: str) -> Record:
    match = official(path)
    if not match:
        return Record(path)
    identity = int(match["identity"])
    return Record(path, str(int(match["camera"])), match["time"], str(identity) if identity > 0 else "")
