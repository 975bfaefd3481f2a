"""Checks the user's own tables and folders, for ``fastreid datasets``."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from fastreid.config import CfgNode
from tabulate import tabulate
from termcolor import colored

from ..disk import first_copies
from ..errors import UserError
from ..image_names import canonical_camera
from ..image_tables import SPLITS, Row
from .bad_images import counted, list_faults
from .by_name import read
from .own_data import OwnData, filled


class OwnReport(NamedTuple):
    """The result of checking the user's own data.

    Args:
        missing: why it could not be read, or "".
        notes: what to know about it, one line each.
        faults: what to correct, one line each.
        identities: all that it has.
    """

    name: str
    missing: str = ""
    folder: str = ""
    counts: str = ""
    notes: Sequence[str] = ()
    faults: Sequence[str] = ()
    identities: frozenset[str] = frozenset()

    @property
    def is_good(self) -> bool:
        return not self.missing and not self.faults

    def __str__(self) -> str:
        if self.missing:
            return f"{self.name}: {colored('cannot be read', 'red')}\n  {self.missing}"
        end = colored("to be corrected:", "red") if self.faults else "nothing to correct"
        lines = [f"{self.name}: {self.folder}", self.counts, *self.notes, end, *self.faults]
        return "\n  ".join("\n".join(lines).splitlines())


def check_own(cfg: CfgNode, name: str, num_sources: int, decode: bool = True) -> OwnReport:
    """Check a table or a folder.

    Args:
        num_sources: how many sources share a batch of the config.
        decode: whether to decode every image.
    """
    try:
        data = read(cfg, name)
    except UserError as error:
        return OwnReport(name, str(error))
    rows = data.rows
    paths = [row.path for row in rows]
    unreadable = list_faults(name, paths, decode)
    copies = [(rows[place], rows[first]) for place, first in enumerate(first_copies(paths)) if place != first]
    return OwnReport(
        name,
        folder=f"{data.folder}{f', {data.variant}' if data.variant else ''}",
        counts=_counts(rows),
        notes=[data.about_tests(), *_notes(rows, copies), *_too_small(cfg, data, num_sources)],
        faults=[*([counted(unreadable), *unreadable] if unreadable else []), *_contradictions(copies)],
        identities=frozenset(row.identity for row in rows if row.identity),
    )


def shared_identities(reports: Iterable[OwnReport], are_same: bool) -> str:
    """One line on the identities that several data sets have, or "".

    Args:
        are_same: the value of DATASETS.OWN.SAME_IDENTITIES.
    """
    names = defaultdict(list)
    for report in reports:
        for identity in report.identities:
            names[identity].append(report.name)
    shared = sorted(identity for identity, those in names.items() if len(those) > 1)
    if not shared:
        return ""
    meaning = "are the same" if are_same else "are kept apart"
    other = "without --same-identities they are kept apart" if are_same else "--same-identities makes them the same"
    return (
        f"{len(shared)} identities, such as {shared[0]} in {' and '.join(names[shared[0]])}, are in several data sets "
        f"and {meaning}; {other}"
    )


def _counts(rows: Sequence[Row]) -> str:
    parts = {split: [row for row in rows if row.split == split] for split in SPLITS} if rows[0].split else {"all": rows}
    counts = {part: (_num_identities(of), len(of), _num_cameras(of)) for part, of in parts.items() if of}
    table = [[part, *map("{:,}".format, numbers)] for part, numbers in counts.items()]
    return str(tabulate(table, ["", "ids", "images", "cameras"], tablefmt="github", colalign=("left", *["right"] * 3)))


def _num_identities(rows: Sequence[Row]) -> int:
    return len({row.identity for row in filled(rows, "identity")})


def _num_cameras(rows: Sequence[Row]) -> int:
    return len({canonical_camera(row.camera) for row in filled(rows, "camera")})


def _notes(rows: Sequence[Row], copies: Sequence[tuple[Row, Row]]) -> Iterator[str]:
    nobody = len(rows) - len(filled(rows, "identity"))
    if nobody:
        yield f"{nobody} images have no identity: they are not trained on, and are strangers in the gallery of a test"
    cameras: dict[str, set[str]] = defaultdict(set)
    for row in filled(filled(rows, "identity"), "camera"):
        cameras[row.identity].add(canonical_camera(row.camera))
    of_one = sorted(identity for identity, of in cameras.items() if len(of) == 1)
    if of_one:
        yield (
            f"{len(of_one)} of {len(cameras)} identities have images of one camera only, such as {of_one[0]}: a test "
            "leaves out their queries, which have no true match"
        )
    if copies:
        yield f"{len(copies)} images are copies of others, such as {copies[0][0].path}, a copy of {copies[0][1].path}"


def _contradictions(copies: Sequence[tuple[Row, Row]]) -> Iterator[str]:
    """Pictures under two identities, or both for training and for tests."""
    for row, first in copies:
        if row.identity and first.identity and row.identity != first.identity:
            yield f"{row.place}: identity {row.identity}, but {first.identity} for the same picture in {first.place}"
        elif (row.split == "train") != (first.split == "train"):
            yield f"{row.place}: split {row.split}, but {first.split} for the same picture in {first.place}"


def _too_small(cfg: CfgNode, data: OwnData, num_sources: int) -> Iterator[str]:
    identities = _num_identities([row for row in data.rows if row.split in ("", "train")])
    images, instances = cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE
    needed = math.ceil(images // instances / num_sources)
    if 0 < identities < needed:
        yield (
            f"too few identities to train on: a batch of SOLVER.IMS_PER_BATCH / DATALOADER.NUM_INSTANCE = {images} / "
            f"{instances} takes {needed} of each of {num_sources} sources; this one has {identities}: lower "
            "IMS_PER_BATCH"
        )
