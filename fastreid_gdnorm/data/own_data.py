"""The user's own tables and folders as data sets, which DATASETS.NAMES and TESTS name by their path."""

from __future__ import annotations

import functools
import logging
import os
import re
from collections.abc import Sequence
from typing import Any

from fastreid.config import CfgNode

from ..errors import UserError
from ..image_names import canonical_camera
from ..image_tables import SUFFIXES, Row, is_table, read_table
from .identities import Item
from .layouts import read_folder
from .readers.reader import NotFound, Reader

logger = logging.getLogger("fastreid.gdnorm.readers")

# shop.csv, cameras.tsv#mall, crops/, crops/#mall; a folder in the middle of a path is part of it
WITH_DOMAIN = re.compile(rf"(?P<place>.*?({'|'.join(map(re.escape, SUFFIXES))}|/))(#(?P<domain>.*))?", re.IGNORECASE)

camera_in_table: dict[str, str] = {}  # {path: camera, "" if unknown} of all images of tables and folders read so far


class OwnData(Reader):
    """A table or a folder. :func:`own_data_of` makes a subclass for each name.

    Rows of the split train are for training, and of query and gallery for tests. Without splits, all rows are for
    training; in a test, each image whose identity is known is a query against all images. fast-reid leaves images of
    the query's identity and camera out of its ranking. Where a camera is unknown, the track takes its place, and where
    that is unknown too, every image counts as a camera of its own.

    Args:
        own_root: the folder that a relative path belongs to; the key DATASETS.OWN.ROOT. "" is the working directory.
        layout: how to read a folder, see :func:`read_folder`; the key DATASETS.OWN.LAYOUT.
        same_identities: whether equal identities of several tables, folders or domains are the same person; the key
            DATASETS.OWN.SAME_IDENTITIES.

    Attributes:
        rows: the images, without repeated lines.
        has_splits: whether the rows have splits.
    """

    place, domain = "", ""  # set by subclasses

    def __init__(
        self, root: str = "datasets", own_root: str = "", layout: str = "", same_identities: bool = False, **kwargs: Any
    ) -> None:
        self._own_root, self._layout = own_root, layout
        self.same_identities = same_identities
        self._is_built = False
        super().__init__(root, **kwargs)
        self._is_built = True

    @property
    def train(self) -> list[Item]:
        """The training items. fast-reid's constructor asks for them, which must not fail for a test."""
        return super().train if self._is_built else []

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        own = cfg.DATASETS.OWN
        return {"own_root": own.ROOT, "layout": own.LAYOUT, "same_identities": own.SAME_IDENTITIES}

    def locate(self, root: str) -> str:
        place = os.path.join(self._own_root, self.place)
        if not os.path.exists(place):
            raise NotFound(
                f"data set {type(self).__name__}: {'table' if is_table(place) else 'folder'} {os.path.abspath(place)} "
                "does not exist: check the path, or set DATASETS.OWN.ROOT to the folder that it is relative to"
            )
        self.rows, layout = own_rows(place, self._layout)
        self.variant = f"layout {layout}" if layout else ""
        if layout and not self._layout:
            self.variant += ", guessed from its tree; set DATASETS.OWN.LAYOUT if it is another"
        return place

    def open(self) -> None:
        domains = domains_of(self.rows)
        if self.domain and self.domain not in domains:
            there = f"its domains are {', '.join(domains)}" if domains != [""] else "it has no column domain"
            raise UserError(f"{self.folder} has no domain {self.domain!r}: {there}")
        if len(domains) > 1 and not self.domain:
            names = ", ".join(f"'{self.place}#{domain}'" for domain in domains)
            raise UserError(f"{self.folder} has {len(domains)} domains: name each of them, ({names})")
        self.rows = [row for row in self.rows if not self.domain or row.domain == self.domain]
        self.has_splits = bool(filled(self.rows, "split"))
        camera_in_table.update((row.path, row.camera) for row in self.rows)

    def read_train(self) -> list[Item]:
        return self._to_train(self._of_split("train", "source"))

    def read_query(self) -> list[Item]:
        rows = self._of_split("query", "target")
        if not self.has_splits:
            rows = filled(rows, "identity")
            self._check_identities(rows, len(self.rows))
        nameless = next((row for row in rows if not row.identity), None)
        if nameless:
            raise UserError(f"{nameless.place}: a query needs an identity; fill it in, or move it to the gallery")
        return self._to_test(rows)

    def read_gallery(self) -> list[Item]:
        return self._to_test(self._of_split("gallery", "target"))

    def combine_all(self) -> None:
        """Train on all rows. fast-reid's own would take a person of two splits as two people."""
        self._train = lambda: self._to_train(self.rows)

    def show_test(self) -> None:
        super().show_test()
        logger.info("%s: %s", type(self).__name__, self.about_tests())

    def about_tests(self) -> str:
        """One line on what its queries are compared with."""
        cameras, tracks = (sum(bool(getattr(row, column)) for row in self.rows) for column in ("camera", "track"))
        place = "camera" if cameras else "track" if tracks else ""
        others = f"those of its own identity and {place}" if place else "itself"
        how = "each query" if self.has_splits else "no splits, so each image with an identity is a query, and"
        line = f"{how} is compared with all images but {others}"
        if cameras and tracks:
            line += "; where the camera is unknown, the track takes its place"
        unknown = sum(not (row.camera or row.track) for row in self.rows)
        if unknown and (cameras or tracks):
            line += f"; {unknown} of {len(self.rows)} images have neither, and each counts as a camera of its own"
        return line

    def _for_training(self, items: list[Item]) -> list[Item]:
        return items  # ``apart`` tells sources with equal identities apart, or not, as the config says

    def _to_train(self, rows: Sequence[Row]) -> list[Item]:
        known = filled(rows, "identity")
        self._check_identities(known, len(rows))
        check_existence(known)
        if len(known) < len(rows):
            logger.warning(
                "%s: left out %d of %d training images, because their identity is unknown",
                *(type(self).__name__, len(rows) - len(known), len(rows)),
            )
        return [(row.path, row.identity, canonical_camera(row.camera) or row.track) for row in known]

    def _of_split(self, split: str, role: str) -> list[Row]:
        rows = [row for row in self.rows if row.split in ("", split)]
        if not rows:
            raise UserError(f"data set {type(self).__name__} has no images of the split {split}: name another {role}")
        return rows

    def _check_identities(self, known: Sequence[Row], images: int) -> None:
        if images and not known:
            raise UserError(
                f"data set {type(self).__name__}: none of its {images} images has an identity: give a table with the "
                "column identity, or a layout that tells it (DATASETS.OWN.LAYOUT)"
            )

    def _to_test(self, rows: Sequence[Row]) -> list[Item]:
        check_existence(rows)
        return [(row.path, row.identity, canonical_camera(row.camera) or _stand_in(row)) for row in rows]


def _stand_in(row: Row) -> str:
    """What takes the place of an unknown camera in a test."""
    return f"track {row.track}" if row.track else f"image {row.path}"


def own_data_of(name: object) -> type[OwnData] | None:
    """The reader of a table or folder, such as ``shop.csv``, ``shop.csv#mall`` or ``crops/``; None for other names."""
    if not isinstance(name, str) or not name:
        return None
    match = WITH_DOMAIN.fullmatch(name)
    if not match and "/" not in name and not os.path.isdir(name):
        return None
    place, domain = (match["place"], match["domain"] or "") if match else (name, "")
    return type(name, (OwnData,), {"place": place, "domain": domain, "dataset_name": name})


def own_rows(place: str, layout: str = "") -> tuple[list[Row], str]:
    """The rows of a table or a folder, without repeated lines, and the folder's layout ("" for a table).

    Raises:
        UserError: it cannot be read, or a row lacks a domain or a split that others have.
    """
    if os.path.isdir(place):
        rows, layout = read_folder(place, layout)
    else:
        state = os.stat(place)
        rows, layout = _table_rows(place, state.st_mtime_ns, state.st_size), ""
    for column in ("split", "domain"):
        empty = next((row for row in rows if not getattr(row, column)), None)
        if empty and filled(rows, column):
            raise UserError(f"{empty.place}: the {column} is empty; fill it in for every row, or for none")
    return rows, layout


@functools.lru_cache(maxsize=8)  # a training reads its tables several times
def _table_rows(place: str, modified: int, size: int) -> list[Row]:
    return list({os.path.normpath(row.path): row for row in read_table(place)}.values())


def domains_of(rows: Sequence[Row]) -> list[str]:
    """The domains of some rows, sorted; [""] if they have none."""
    return sorted({row.domain for row in rows})


def filled(rows: Sequence[Row], column: str) -> list[Row]:
    """The rows where a column is not empty."""
    return [row for row in rows if getattr(row, column)]


def check_existence(rows: Sequence[Row]) -> None:
    """Raise UserError if a row's image does not exist."""
    for row in rows:
        if not os.path.isfile(row.path):
            raise UserError(f"{row.place}: image {row.path} does not exist; correct the path, or remove the line")
