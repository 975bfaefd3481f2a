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
from .record_tables import read_rows

JUNK = "-1"  # identity of junk images in Market-1501, and of unmatched crops of trackers
logger = logging.getLogger(__name__)  # without a handler, warnings go to stderr


class Record(NamedTuple):
    """An image's path, camera, time and identity; unknown fields are empty."""

    path: str
    camera: str = ""
    time: str = ""
    identity: str = ""


def find_images(sources: Iterable[str]) -> list[Record]:
    """Find the images named on a command line: files, folders, quoted glob patterns, and tables.

    A table is a CSV file with a column ``path``, relative to the table's folder, and optional columns ``camera``,
    ``time`` and ``identity``; identity -1 means no known person. For all other images, these fields are read from file
    names that follow the full pattern of Market-1501 or DukeMTMC-reID. Identities below 1 in names mark distractors
    and junk and are dropped. For each folder, pattern or list of files, a warning says how many names could be read
    and how many files were left out.

    Raises:
        UserError: a file does not exist, a folder has no images, or a table is invalid.
    """
    records, files = [], []
    for source in sources:
        if source.lower().endswith(".csv") and not os.path.isdir(source):
            rows = (Record(**row) for row in read_rows(source, Record._fields))
            records += [row._replace(identity="") if row.identity == JUNK else row for row in rows]
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
            "%s: left out %d of %d matches that are folders or have no image suffix; the first is %s",
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
