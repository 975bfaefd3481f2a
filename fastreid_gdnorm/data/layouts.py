"""Folders read as tables: what the names of folders and files tell about each image."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator

from ..errors import UserError
from ..image_loading import list_folder
from ..image_names import MARKET_STYLE
from ..image_tables import COLUMNS, SPLITS, Row, checked_row
from .readers.market_style import DISTRACTOR, read_market_folder

logger = logging.getLogger("fastreid.gdnorm.readers")

MARKET = "market1501"
MARKET_FOLDERS = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}
CAMERA = re.compile(r"c(am(era)?)?[\s_-]*\d+", re.IGNORECASE)  # c1, cam_01, Camera 2
KINDS = (
    f"{MARKET}, identity/image, identity/camera/image, camera/image, or a pattern with groups such as "
    "(?P<identity>[^/]+)"
)


def read_folder(folder: str, layout: str = "") -> tuple[list[Row], str]:
    """The images of a folder as a table's rows, in the order of their paths, and the folder's layout.

    A warning counts the images that do not fit the layout.

    Args:
        layout: "" guesses it from the tree. ``market1501``: file names like Market-1501's, in its three folders or in
            this one. Columns of a table and then ``image``, such as ``identity/camera/image``: what the folders at each
            level are. Else a regular expression for the path within the folder, without the suffix of the image, whose
            named groups are columns.

    Raises:
        UserError: the layout cannot be guessed or is invalid, or no image fits it.
    """
    layout = layout or guess_layout(folder)
    if layout == MARKET:
        rows = list(_market_rows(folder))
        if not rows:
            raise UserError(f"folder {folder}: all its images have identity -1, which marks junk; name another")
        return rows, layout
    pattern, paths = _pattern(layout), list_folder(folder)
    rows, others = [], []
    for path in paths:
        match = pattern.fullmatch(_inside(folder, path))
        if match:
            fields = {column: text or "" for column, text in match.groupdict().items()}
            rows.append(checked_row(f"image {path}", path=path, **fields))
        else:
            others.append(path)
    if not rows:
        raise UserError(
            f"folder {folder}: none of its {len(paths)} images, such as {paths[0]}, fits the layout {layout}; give "
            f"another: {KINDS}"
        )
    if others:
        logger.warning(
            "%s: left out %d of %d images, because they do not fit the layout %s; the first is %s",
            *(folder, len(others), len(paths), layout, others[0]),
        )
    return rows, layout


def guess_layout(folder: str) -> str:
    """The layout that a folder's tree shows.

    Raises:
        UserError: it shows none.
    """
    if any(os.path.isdir(os.path.join(folder, name)) for name in MARKET_FOLDERS if name != "query"):
        return MARKET
    paths = [_inside(folder, path).split("/") for path in list_folder(folder)]
    depths = sorted({len(parts) - 1 for parts in paths})
    levels = [{parts[level] for parts in paths} for level in range(depths[0])] if len(depths) == 1 else []
    is_split = bool(levels) and levels[0] <= set(SPLITS)
    of_cameras = [all(map(CAMERA.fullmatch, names)) for names in levels[is_split:]]
    if depths == [0] and all(re.fullmatch(MARKET_STYLE, name) for (name,) in paths):
        return MARKET
    if len(of_cameras) == 1:
        found = ["camera" if of_cameras[0] else "identity"]
    elif len(of_cameras) == 2:
        found = ["camera", "identity"] if of_cameras == [True, False] else ["identity", "camera"]
    else:
        deep = " and ".join(map(str, depths))
        raise UserError(
            f"folder {folder}: its layout cannot be guessed, because its images lie {deep} folders deep; give it: "
            f"{KINDS}; or write a table"
        )
    return "/".join([*["split"][: int(is_split)], *found, "image"])


def _market_rows(folder: str) -> Iterator[Row]:
    parts = {name: split for name, split in MARKET_FOLDERS.items() if os.path.isdir(os.path.join(folder, name))}
    for name, split in (parts or {"": ""}).items():
        for path, pid, camera in read_market_folder(os.path.join(folder, name) if name else folder):
            identity = "" if pid == DISTRACTOR else str(pid)
            yield Row(path, camera=str(camera + 1), identity=identity, split=split, place=f"image {path}")


def _pattern(layout: str) -> re.Pattern[str]:
    *columns, last = layout.split("/")
    if last == "image" and columns and set(columns) <= {*COLUMNS[1:]} and len({*columns}) == len(columns):
        return re.compile("/".join([*(f"(?P<{column}>[^/]+)" for column in columns), "[^/]+"]))
    try:
        pattern = re.compile(layout)
    except re.error as error:
        raise UserError(f"layout {layout!r} is not a regular expression ({error}): give {KINDS}") from error
    if not pattern.groupindex or set(pattern.groupindex) - {*COLUMNS[1:]}:
        raise UserError(f"layout {layout!r} must be {KINDS}; columns and groups can be {', '.join(COLUMNS[1:])}")
    return pattern


def _inside(folder: str, path: str) -> str:
    return os.path.splitext(os.path.relpath(path, folder))[0].replace(os.sep, "/")
