"""A gallery on disk: replacing one small file, gallery.json, switches to the new gallery at once.

``gallery.json`` lists the files of features, the table of images and, in an approximate gallery, the compressed
features, with their digests. Every save gives the files that it writes a new number, so that old and new never mix.
Features that have not changed keep their files. A gallery contains no code and no pickle.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from ..disk import leftovers, replacing
from ..errors import UserError
from .camera_offsets import CameraOffsets
from .description import Description
from .feature_parts import FeatureParts, Part
from .gallery_features import grouped, read_features, write_features
from .records import Record
from .saved_files import SavedFile

if TYPE_CHECKING:
    from .compressed_features import CompressedFeatures

CONTENTS, VERSION = "gallery.json", 3
KINDS = {
    "images": int,
    "model": str,
    "path": str,
    "description": str,
    "approximate": bool,
    "compressed_at": int,
    "files": list,
}
JOURNAL = "journal"  # a folder that exists while images are being added
WRITING = "gallery.writing"  # lists the files to write and to remove; exists while a gallery is being saved
FEATURES, TABLE, COMPRESSED = "features-{}-{}.npy", "images-{}.csv", "compressed-{}.faiss"
NUMBERED = re.compile(r"features-(\d{1,9})-\d{1,9}\.npy|images-(\d{1,9})\.csv|compressed-(\d{1,9})\.faiss", re.ASCII)
AS_TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}  # file names can have any encoding
COLUMNS = (*Record._fields, "sha256")
TRIES = 100  # attempts to read a gallery that other processes keep writing


class Stored(NamedTuple):
    """The contents of a gallery of N images.

    Args:
        model, path: location of the model and the path through it, as FeatureExtractor takes them.
        records, digests, features: of the N images.
        compressed: the features compressed, if searches use them, else None.
        offsets: the camera offsets that the features follow, or None.
    """

    description: Description
    model: str
    path: str
    approximate: bool
    records: list[Record]
    digests: list[str]
    features: FeatureParts
    compressed: CompressedFeatures | None
    offsets: CameraOffsets | None = None


def read_gallery(folder: Path) -> Stored:
    """Read a gallery written by :func:`write_gallery`; this works while another process is writing it.

    Raises:
        UserError: the gallery is missing, damaged, or from another version of this package or a newer faiss.
    """
    for _ in range(TRIES):
        contents = read_contents(folder)
        try:
            return _read(folder, contents)
        except FileNotFoundError as error:
            reason = f"{Path(error.filename).name} is missing or has changed"
        except ValueError as error:
            reason = str(error)
        if read_contents(folder) == contents:  # otherwise another process has just replaced the gallery: try again
            raise UserError(f"gallery {folder} is damaged: {reason}; build it again")
    raise UserError(f"gallery {folder} changes faster than it can be read: wait for the process that is writing it")


def _read(folder: Path, contents: dict[str, Any]) -> Stored:
    """Raises ValueError with the reason if the gallery is damaged."""
    description = _read_description(contents["description"])
    files = _files_of(contents)
    parts = [read_features(folder, file, description.features) for file in files if _kind(file.name) == "features"]
    features = FeatureParts(description.features, parts)
    (table,) = (file for file in files if _kind(file.name) == "images")
    with table.open(folder) as stream:
        records, digests = _read_table(io.TextIOWrapper(stream, newline="", **AS_TEXT), table.name)
    if not len(records) == len(features) == contents["images"]:
        raise ValueError(
            f"{CONTENTS} says {contents['images']} images, but {table.name} has {len(records)}, and there are "
            f"{len(features)} features"
        )
    compressed = None
    for file in files:
        if _kind(file.name) == "compressed":
            from .compressed_features import CompressedFeatures  # imports faiss, which other galleries do not need

            compressed = CompressedFeatures.read(folder, file, description, len(features), contents["compressed_at"])
    return Stored(
        description,
        contents["model"],
        contents["path"],
        contents["approximate"],
        records,
        digests,
        features,
        compressed,
        read_offsets(contents),
    )


def _files_of(contents: dict[str, Any]) -> list[SavedFile]:
    return list(map(SavedFile.from_json, contents["files"]))


def read_offsets(contents: dict[str, Any]) -> CameraOffsets | None:
    """The camera offsets stored in gallery.json, if any. :func:`read_contents` has checked that they can be read."""
    site = contents.get("site")
    return CameraOffsets.load(io.BytesIO(base64.b64decode(site["offsets"])), site["folder"]) if site else None


def _site_entry(offsets: CameraOffsets) -> dict[str, str]:
    stream = io.BytesIO()
    offsets.save(stream)
    return {"folder": offsets.site, "offsets": base64.b64encode(stream.getvalue()).decode()}


def _read_description(text: str) -> Description:
    try:
        description = Description.from_property(text)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{CONTENTS} does not describe a model ({error})") from error
    is_model = isinstance(description.model, str) and description.features > 0
    if not is_model or description.metric not in ("cosine", "euclidean"):
        raise ValueError(f"{CONTENTS} does not describe a model ({text})")
    return description


def _read_table(lines: TextIO, name: str) -> tuple[list[Record], list[str]]:
    records, digests = [], []
    try:
        rows = csv.reader(lines)
        if tuple(next(rows, ())) != COLUMNS:
            raise ValueError(f"it does not have the columns {', '.join(COLUMNS)}")
        for row in rows:
            if len(row) != len(COLUMNS):
                raise ValueError(f"line {rows.line_num} does not have {len(COLUMNS)} values")
            digests.append(row.pop())
            records.append(Record._make(row))
    except (csv.Error, ValueError) as error:
        raise ValueError(f"{name} is not a table of images ({error})") from error
    if len(set(digests)) != len(digests):
        raise ValueError(f"{name} has an image twice")
    return records, digests


def is_gallery(folder: Path) -> bool:
    """Whether a folder holds a gallery."""
    return (folder / CONTENTS).is_file()


def is_complete(folder: Path) -> bool:
    """Whether a folder holds a gallery and no files of a save that was killed."""
    return is_gallery(folder) and not (folder / WRITING).exists()


def read_contents(folder: Path) -> dict[str, Any]:
    """Read and check gallery.json.

    Raises:
        UserError: see :func:`read_gallery`.
    """
    file = folder / CONTENTS
    if not is_gallery(folder):
        raise UserError(f"{folder} is not a gallery: it has no {CONTENTS}; build one with fastreid index")
    try:
        contents: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if contents["version"] != VERSION:
            raise UserError(
                f"gallery {folder} has format version {contents['version']}, this package reads {VERSION}: remove "
                "the folder and build the gallery again"
            )
        for key, kind in KINDS.items():
            if not isinstance(contents[key], kind):
                raise TypeError(f"{key} is {contents[key]!r}")
        kinds = [_kind(file.name) for file in _files_of(contents)]
        if kinds.count("images") != 1 or kinds.count("compressed") > 1 or "" in kinds:
            raise ValueError(f"files are {contents['files']}")
        read_offsets(contents)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"gallery {folder} is damaged: {CONTENTS} cannot be read ({error}); build it again") from error
    return contents


def write_gallery(folder: Path, stored: Stored) -> FeatureParts:
    """Save a gallery to ``folder``, which is created if needed. The old gallery stays valid until the new one is.

    Only files written by earlier calls are removed. ``gallery.json`` lists them, and so does WRITING after a call that
    was killed.

    Returns:
        The features, mapped from their files in the folder.

    Raises:
        UserError: ``gallery.json`` or WRITING exists but does not belong to a gallery.
    """
    folder.mkdir(parents=True, exist_ok=True)
    former = _written(folder)
    saved = [part.saved for part in stored.features.parts if part.saved]
    groups = grouped(stored.features.parts, [file for file in saved if _is_kept(folder, file, former)])
    number = _free_number(folder, former, len(groups))
    table, compressed = TABLE.format(number), COMPRESSED.format(number)
    new = [FEATURES.format(number, place) for place in range(len(groups))]
    with replacing(folder / WRITING) as part:
        part.write_text(json.dumps([*former, *new, table, compressed]), encoding="utf-8")
    parts = [
        group if isinstance(group, Part) else write_features(folder / name, group) for name, group in zip(new, groups)
    ]
    with replacing(folder / table) as part, open(part, "w", newline="", **AS_TEXT) as lines:
        writer = csv.writer(lines)
        writer.writerow(COLUMNS)
        writer.writerows((*record, sha256) for record, sha256 in zip(stored.records, stored.digests))
    files = [part.saved for part in parts if part.saved] + [SavedFile.of(folder / table)]
    if stored.compressed is not None:
        stored.compressed.write(folder / compressed)
        files.append(SavedFile.of(folder / compressed))
    contents: dict[str, Any] = {
        "version": VERSION,
        "images": len(stored.records),
        "model": stored.model,
        "path": stored.path,
        "description": stored.description.to_property(),
        "approximate": stored.approximate,
        "compressed_at": 0 if stored.compressed is None else stored.compressed.trained_on,
        "files": files,
        **({"site": _site_entry(stored.offsets)} if stored.offsets else {}),
    }
    with replacing(folder / CONTENTS) as part:
        part.write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")
    for name in (*former, WRITING, CONTENTS):
        for part in leftovers(folder / name):
            part.unlink(missing_ok=True)
    with contextlib.suppress(PermissionError):  # Windows keeps mapped files; WRITING then lists them for the next save
        for name in set(former) - {file.name for file in files}:
            (folder / name).unlink(missing_ok=True)
        (folder / WRITING).unlink(missing_ok=True)
    return FeatureParts(stored.description.features, parts)


def _is_kept(folder: Path, file: SavedFile, former: Sequence[str]) -> bool:
    """Whether a file that a gallery was read from is one of those in ``folder``, and unchanged."""
    return file.name in former and file.is_untouched(folder)


def check_lists(folder: Path) -> None:
    """Check that :func:`write_gallery` can tell its own files in ``folder``, which need not exist, from others.

    Raises:
        UserError: ``gallery.json`` or WRITING exists but does not belong to a gallery.
    """
    _written(folder)


def _written(folder: Path) -> list[str]:
    """Names of the files that earlier calls wrote, or were writing when they were killed.

    Raises:
        UserError: ``gallery.json`` or WRITING exists but does not belong to a gallery.
    """
    names: list[Any] = []
    for file in (CONTENTS, WRITING):
        try:
            if (folder / file).exists():
                listed = json.loads((folder / file).read_text(encoding="utf-8"))
                names += [file[0] for file in listed["files"]] if file == CONTENTS else listed
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{folder / file} does not belong to a gallery: remove it, or choose another folder"
            ) from error
    return [name for name in dict.fromkeys(map(str, names)) if _kind(name)]


def _free_number(folder: Path, former: list[str], parts: int) -> int:
    """A number for the files of the next save, which no file has."""
    number = 1 + max((_number(name) for name in former), default=0)
    while True:
        features = [FEATURES.format(number, place) for place in range(parts)]
        names = (*features, TABLE.format(number), COMPRESSED.format(number))
        if not any((folder / name).exists() or leftovers(folder / name) for name in names):
            return number
        number += 1


def _number(name: str) -> int:
    """The number of the save that wrote a file."""
    match = NUMBERED.fullmatch(name)
    return int(next(filter(None, match.groups()))) if match else 0


def _kind(name: str) -> str:
    """ "features", "images" or "compressed" for a file name that :func:`write_gallery` uses, "" for any other."""
    return name.partition("-")[0] if NUMBERED.fullmatch(name) else ""
