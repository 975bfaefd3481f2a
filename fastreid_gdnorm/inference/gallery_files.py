"""A gallery on disk: replacing one small file, gallery.json, switches to the new gallery at once.

``gallery.json`` names the index and the table of images and holds their digests. Every save gives these two files a
new number, so that old and new never mix. A gallery contains no code and no pickle.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO

import faiss
import numpy as np

from ..disk import digest, digest_of, leftovers, replacing
from ..errors import UserError
from .camera_offsets import CameraOffsets
from .description import Description
from .index_search import flat_part
from .records import Record

CONTENTS, VERSION = "gallery.json", 2
KINDS = {"images": int, "model": str, "path": str, "description": str, "approximate": bool, "files": dict}
JOURNAL = "journal"  # a folder that exists while images are being added
WRITING = "gallery.writing"  # lists the files to write and to remove; exists while a gallery is being saved
INDEX, TABLE = "index-{}.faiss", "images-{}.csv"
NUMBERED = re.compile(r"index-\d{1,9}\.faiss|images-\d{1,9}\.csv", re.ASCII)
AS_TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}  # file names can have any encoding
COLUMNS = (*Record._fields, "sha256")
TRIES = 100  # attempts to read a gallery that other processes keep writing


class Stored(NamedTuple):
    """The contents of a gallery of N images.

    Args:
        model, path: location of the model and the path through it, as FeatureExtractor takes them.
        records, digests: of the N images.
        index: faiss index of the N features.
        offsets: the camera offsets that the features follow, or None.
    """

    description: Description
    model: str
    path: str
    approximate: bool
    records: list[Record]
    digests: list[str]
    index: Any
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
    index_file, table_file = (folder / name for name in contents["files"])
    # An open file can be read to its end even after another process has removed it.
    with open(index_file, "rb") as index_stream, open(table_file, "rb") as table_stream:
        for stream, expected in zip((index_stream, table_stream), contents["files"].values()):
            if digest_of(stream) != expected:
                raise ValueError(f"{Path(stream.name).name} is missing or has changed")
            stream.seek(0)
        description = _read_description(contents["description"])
        index = _read_index(index_stream, index_file, description)
        records, digests = _read_table(io.TextIOWrapper(table_stream, newline="", **AS_TEXT), table_file.name)
    if not len(records) == index.ntotal == contents["images"]:
        raise ValueError(
            f"{CONTENTS} says {contents['images']} images, but {table_file.name} has {len(records)} and "
            f"{index_file.name} has {index.ntotal}"
        )
    how = (contents["model"], contents["path"], contents["approximate"])
    return Stored(description, *how, records, digests, index, read_offsets(contents))


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
    try:
        header, *rows = csv.reader(lines)
    except (csv.Error, ValueError) as error:
        raise ValueError(f"{name} is not a table ({error})") from error
    if tuple(header) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        raise ValueError(f"{name} does not have the columns {', '.join(COLUMNS)} in every row")
    digests = [row[-1] for row in rows]
    if len(set(digests)) != len(digests):
        raise ValueError(f"{name} has an image twice")
    return [Record(*row[:-1]) for row in rows], digests


def _read_index(stream: BinaryIO, file: Path, description: Description) -> Any:
    try:
        index = faiss.read_index(faiss.PyCallbackIOReader(stream.read))
    except (RuntimeError, MemoryError) as error:
        raise UserError(
            f"faiss {faiss.__version__} cannot read {file} ({' '.join(str(error).split())}): it is damaged or was "
            "written by a newer faiss; pip install -U faiss-cpu, or build the gallery again"
        ) from error
    flat = flat_part(index)
    metric = faiss.METRIC_INNER_PRODUCT if description.metric == "cosine" else faiss.METRIC_L2
    fits = all((part.d, part.metric_type) == (description.features, metric) for part in (index, flat))
    if not isinstance(flat, faiss.IndexFlat) or not fits or flat.ntotal != index.ntotal:
        raise ValueError(
            f"{file.name} is not an index of {description.features} features compared by {description.metric}"
        )
    if flat.ntotal:
        features = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d)
        if not np.isfinite((features.min(), features.max())).all():
            raise ValueError(f"{file.name} has features that are NaN or infinite")
    return index


def is_gallery(folder: Path) -> bool:
    """Whether a folder holds a gallery."""
    return (folder / CONTENTS).is_file()


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
                f"gallery {folder} has format version {contents['version']}, this package reads {VERSION}: build it "
                "again"
            )
        for key, kind in KINDS.items():
            if not isinstance(contents[key], kind):
                raise TypeError(f"{key} is {contents[key]!r}")
        if [_kind(name) for name in contents["files"]] != ["index", "images"]:
            raise ValueError(f"files are {list(contents['files'])}")
        read_offsets(contents)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"gallery {folder} is damaged: {CONTENTS} cannot be read ({error}); build it again") from error
    return contents


def write_gallery(folder: Path, stored: Stored) -> None:
    """Save a gallery to ``folder``, which is created if needed. The old gallery stays valid until the new one is.

    Only files written by earlier calls are removed. ``gallery.json`` lists them, and so does WRITING after a call that
    was killed.

    Raises:
        UserError: ``gallery.json`` or WRITING exists but does not belong to a gallery.
    """
    folder.mkdir(parents=True, exist_ok=True)
    former = _written(folder)
    index_file, table = _free_names(folder, former)
    with replacing(folder / WRITING) as part:
        part.write_text(json.dumps([*former, index_file, table]), encoding="utf-8")
    with replacing(folder / index_file) as part, open(part, "wb") as stream:
        faiss.write_index(stored.index, faiss.PyCallbackIOWriter(stream.write))
    with replacing(folder / table) as part, open(part, "w", newline="", **AS_TEXT) as lines:
        writer = csv.writer(lines)
        writer.writerow(COLUMNS)
        writer.writerows((*record, sha256) for record, sha256 in zip(stored.records, stored.digests))
    contents: dict[str, Any] = {
        "version": VERSION,
        "images": len(stored.records),
        "model": stored.model,
        "path": stored.path,
        "description": stored.description.to_property(),
        "approximate": stored.approximate,
        "files": {name: digest(folder / name) for name in (index_file, table)},
        **({"site": _site_entry(stored.offsets)} if stored.offsets else {}),
    }
    with replacing(folder / CONTENTS) as part:
        part.write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")
    for name in (*former, WRITING, CONTENTS):
        for part in leftovers(folder / name):
            part.unlink(missing_ok=True)
    for name in (*former, WRITING):
        (folder / name).unlink(missing_ok=True)


def check_lists(folder: Path) -> None:
    """Check that :func:`write_gallery` can tell its own files in ``folder``, which need not exist, from others.

    Raises:
        UserError: ``gallery.json`` or WRITING exists but does not belong to a gallery.
    """
    _written(folder)


def _written(folder: Path) -> list[str]:
    """The index and table files that earlier calls wrote, or were writing when they were killed.

    Raises:
        UserError: ``gallery.json`` or WRITING exists but does not belong to a gallery.
    """
    names: list[Any] = []
    for file in (CONTENTS, WRITING):
        try:
            if (folder / file).exists():
                listed = json.loads((folder / file).read_text(encoding="utf-8"))
                names += listed["files"] if file == CONTENTS else listed
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{folder / file} does not belong to a gallery: remove it, or choose another folder"
            ) from error
    return [name for name in dict.fromkeys(map(str, names)) if _kind(name)]


def _free_names(folder: Path, former: list[str]) -> tuple[str, str]:
    """Names for a new index and table, with the next number that no file uses."""
    number = 1 + max((int(re.sub(r"\D", "", name)) for name in former), default=0)
    while True:
        names = INDEX.format(number), TABLE.format(number)
        if not any((folder / name).exists() or leftovers(folder / name) for name in names):
            return names
        number += 1


def _kind(name: str) -> str:
    """ "index" or "images" for a file name that :func:`write_gallery` uses, "" for any other."""
    return name.partition("-")[0] if NUMBERED.fullmatch(name) else ""
