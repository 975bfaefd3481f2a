"""What is known of an image beside its pixels: camera, time and identity, from its name or a table."""

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

JUNK = "-1"  # the identity of images of nobody in Market-1501, and of what trackers could not match
logger = logging.getLogger(__name__)  # without a handler, warnings go to stderr


class Record(NamedTuple):
    """An image and what is known of it; what is not known is empty."""

    path: str
    camera: str = ""
    time: str = ""
    identity: str = ""


def find_images(words: Iterable[str]) -> list[Record]:
    """The images that a command line names: files, folders, globs in quotes, and tables.

    A table is a CSV file with the column ``path``, relative to the table's folder, and any of ``camera``, ``time`` and
    ``identity``, in which -1 is nobody, not one person. Other images' are read off names that have the whole form of
    Market-1501's or DukeMTMC-reID's, in which no identity is below 1: 0 and -1 stand for distractors and junk. A
    warning says of how many images of a folder, glob or list of files, and counts the files that are left out.

    Raises:
        UserError: there is no such file, no image in a folder, or a table cannot be followed.
    """
    records, files = [], []
    for word in words:
        if word.lower().endswith(".csv") and not os.path.isdir(word):
            rows = (Record(**row) for row in read_rows(word, Record._fields))
            records += [row._replace(identity="") if row.identity == JUNK else row for row in rows]
        elif os.path.isfile(word):
            records.append(_from_name(word))
            files.append(word)
        else:
            paths = list_folder(word) if os.path.isdir(word) else _matches(word)
            records += map(_from_name, paths)
            _say_how_many_are_known(word, paths)
    if len(files) > 1:
        _say_how_many_are_known(f"{files[0]} and {len(files) - 1} more", files)
    return records


def _matches(pattern: str) -> list[str]:
    places: dict[tuple[str, str], str] = {}  # ** goes through links, also in a circle: a file counts once
    for path in sorted(glob.glob(pattern, recursive=True), key=lambda path: (len(path), path)):
        folder, name = os.path.split(path)
        places.setdefault((os.path.realpath(folder), name), path)
    there_are = sorted(places.values())
    found = [path for path in there_are if is_picture(os.path.basename(path)) and os.path.isfile(path)]
    if not there_are:
        raise UserError(f"{pattern} is no file, no folder, and no pattern that any file matches")
    if not found:
        raise UserError(f"{pattern} matches no image: the first of {len(there_are)} matches is {there_are[0]}")
    others = sorted(set(there_are) - set(found))
    if "**" in pattern:
        others = [path for path in others if not os.path.isdir(path)]
    if others:
        logger.warning(
            "%s: %d of %d matches left out, as they are folders or their suffixes are not those of images; the first "
            "is %s",
            *(pattern, len(others), len(found) + len(others), others[0]),
        )
    return found


def _say_how_many_are_known(word: str, paths: Sequence[str]) -> None:
    strange = [path for path in paths if not official(path)]
    logger.warning(
        "%s: identity and camera are read off %d of %d names, those in Market-1501's or DukeMTMC-reID's form%s",
        *(word, len(paths) - len(strange), len(paths)),
        f"; {os.path.basename(strange[0])} is not" if strange else "",
    )


def _from_name(path: str) -> Record:
    match = official(path)
    if not match:
        return Record(path)
    identity = int(match["identity"])
    return Record(path, str(int(match["camera"])), match["time"], str(identity) if identity > 0 else "")
