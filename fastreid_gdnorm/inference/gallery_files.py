"""A gallery on disk: one small file that names the others, so that putting it in place changes all at once.

``gallery.json`` names the index and the table of images and holds their digests; both carry a number in their names
that no earlier ones had. Nothing in a gallery is code, and no pickle is read.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

import faiss

from ..disk import digest, replacing
from ..errors import UserError
from .description import Description
from .records import Record

CONTENTS, VERSION = "gallery.json", 2
JOURNAL = "journal"  # a folder, there while images are added
INDEX, TABLE = "index-{}.faiss", "images-{}.csv"
AS_TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}  # of names in any encoding
COLUMNS = (*Record._fields, "sha256")


class Stored(NamedTuple):
    """What is kept of a gallery.

    Args:
        model, path: where the model is, and the path through it, as FeatureExtractor takes them.
        records, digests: N.
        index: of faiss, N features.
    """

    description: Description
    model: str
    path: str
    approximate: bool
    records: list[Record]
    digests: list[str]
    index: Any


def read_gallery(folder: Path) -> Stored:
    """What :func:`write_gallery` has written.

    Raises:
        UserError: it is not there, damaged, or of a later version.
    """
    contents = read_contents(folder)
    for name, expected in contents["files"].items():
        if not (folder / name).is_file() or digest(folder / name) != expected:
            if read_contents(folder) != contents:  # another process has put a new one in place meanwhile
                return read_gallery(folder)
            raise UserError(f"gallery {folder} is damaged: {name} is missing or has changed; build it again")
    index_file, table = contents["files"]
    with open(folder / table, newline="", **AS_TEXT) as lines:
        rows = list(csv.DictReader(lines))
    return Stored(
        Description.from_property(contents["description"]),
        contents["model"],
        contents["path"],
        contents["approximate"],
        [Record(*(row[column] for column in Record._fields)) for row in rows],
        [row["sha256"] for row in rows],
        faiss.read_index(str(folder / index_file)),
    )


def is_gallery(folder: Path) -> bool:
    """Whether there is one."""
    return (folder / CONTENTS).is_file()


def read_contents(folder: Path) -> dict[str, Any]:
    """gallery.json.

    Raises:
        UserError: as :func:`read_gallery`.
    """
    file = folder / CONTENTS
    if not is_gallery(folder):
        raise UserError(f"{folder} is no gallery: it has no {CONTENTS}; fastreid index makes one")
    try:
        contents: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if contents["version"] != VERSION:
            raise UserError(
                f"gallery {folder} is of version {contents['version']}, this is for {VERSION}: build it again"
            )
        for key in ("model", "path", "description", "approximate"):
            contents[key]
        contents["files"].items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"gallery {folder} is damaged: {CONTENTS} cannot be read ({error}); build it again") from error
    return contents


def write_gallery(folder: Path, stored: Stored) -> None:
    """Write ``folder``, which is made; what it held is there until all of this is."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 1 + max((int(name.stem.split("-")[1]) for name in folder.glob(INDEX.format("*"))), default=0)
    index_file, table = INDEX.format(number), TABLE.format(number)
    with replacing(folder / index_file) as part:
        faiss.write_index(stored.index, str(part))
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
    }
    with replacing(folder / CONTENTS) as part:
        part.write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")
    for pattern in (INDEX, TABLE):
        for file in folder.glob(pattern.format("*") + "*"):
            if file.name not in contents["files"]:
                file.unlink()
