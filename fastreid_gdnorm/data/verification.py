"""Compares the data sets on disk with published numbers, for ``fastreid datasets``."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fastreid.config import CfgNode
from tabulate import tabulate
from termcolor import colored

from ..console import say
from ..errors import UserError
from .bad_images import counted, list_faults
from .by_name import datasets_root, is_read_by, read
from .identities import Item
from .own_checks import OwnReport, check_own, shared_identities
from .own_data import OwnData
from .readers import READERS, Reader, SingleShot
from .readers.on_disk import GUIDE, no_root
from .readers.reader import Counts, NotFound

logger = logging.getLogger("fastreid.gdnorm")


class Part(NamedTuple):
    """A part of a data set: train, query, gallery or all."""

    name: str
    found: Counts
    published: Counts | None

    @property
    def as_published(self) -> bool:
        return self.published is None or all(
            published in (None, found) for found, published in zip(self.found, self.published)
        )


class Report(NamedTuple):
    """The result of checking a data set.

    Args:
        missing: why it could not be read, or "".
        is_there: whether at least parts of it exist.
        notes: warnings of its reader.
        bad_images: what is wrong with images, one line each.
    """

    name: str
    missing: str = ""
    is_there: bool = True
    folder: str = ""
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()
    bad_images: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        return not self.missing and not self.bad_images and all(part.as_published for part in self.parts)

    def __str__(self) -> str:
        if self.missing:
            state = "incomplete or damaged" if self.is_there else "not found"
            return f"{self.name}: {colored(state, 'red')}\n  {self.missing}"
        table = tabulate(
            [[part.name, *map(_cell, part.found, part.published or part.found)] for part in self.parts],
            headers=["", *Counts._fields],
            tablefmt="github",
            disable_numparse=True,
            colalign=("left", "right", "right", "right"),
        )
        lines = [f"{self.name}: {self.folder}", table, *self.notes]
        if self.bad_images:
            lines.append(colored(counted(self.bad_images), "red"))
            lines += self.bad_images
        if not any(part.published for part in self.parts):
            lines.append("no published counts")
        else:
            lines.append("as published" if self.is_good else colored("not as published", "red"))
        return "\n  ".join("\n".join(lines).splitlines())


def check_data_sets(cfg: CfgNode, names: Sequence[str], decode: bool = True, guide: str | Path = "") -> None:
    """Report on data sets, in the config's variants.

    Args:
        names: the data sets, tables and folders; if empty, all data sets that the plugin has readers for.
        decode: whether to read every image.
        guide: the document that says where to get the data sets.

    Raises:
        UserError: the folder of all data sets does not exist; or, at the end, a named data set is missing or wrong.
    """
    root = datasets_root()
    own = [name for name in names if is_read_by(OwnData, name)]
    if not os.path.isdir(root) and all(is_read_by(READERS, name) for name in names):
        raise UserError(f"{no_root(root)}; {GUIDE}")
    if not own:
        say(f"Data sets in {os.path.abspath(root)}\n")
    wrong, of_own = [], []
    for name in names or [reader.__name__ for reader in READERS]:
        report: Report | OwnReport
        if name in own:
            report = check_own(cfg, name, len(cfg.DATASETS.NAMES) or len(names), decode)
            of_own.append(report)
        else:
            report = check(cfg, name, decode)
        say(f"{report}\n")
        if not report.is_good:
            wrong.append(name)
    shared = shared_identities(of_own, cfg.DATASETS.OWN.SAME_IDENTITIES)
    if shared:
        say(f"{shared}\n")
    if not own:
        say(f"Where to get the data sets: {guide}")
    if names and wrong:
        what = "to be corrected" if own else "missing or not as published"
        raise UserError(f"{what}: {', '.join(wrong)}; see above")


def check(cfg: CfgNode, name: str, decode: bool = True) -> Report:
    """Check the data set ``name`` in the config's variant; ``decode`` reads every image, using all cores."""
    try:
        with _warnings() as notes:
            data = read(cfg, name)
            published = getattr(data, "published", {})
            items = {"train": data.train, "query": data.query, "gallery": data.gallery}
            if "all" in published:
                items["all"] = read(cfg, name, combineall=True).train
    except UserError as error:
        return Report(name, str(error), is_there=not isinstance(error, NotFound) and is_read_by(Reader, name))
    parts = [Part(part, _count(images), published.get(part)) for part, images in items.items() if images]
    if isinstance(data, SingleShot):
        parts = list(_parts_of_splits(data))
        notes.append(data.origin)
    parts = [part._replace(found=part.found._replace(cameras=None)) if part.name == "all" else part for part in parts]
    paths = sorted({item[0] for images in (*items.values(), getattr(data, "images", [])) for item in images})
    return Report(
        name,
        folder=getattr(data, "folder", ""),
        parts=tuple(parts),
        notes=tuple(dict.fromkeys(notes)),
        bad_images=tuple(list_faults(name, paths, decode)),
    )


@contextlib.contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect readers' warnings; without another handler, they are not printed."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


def _parts_of_splits(data: SingleShot) -> Iterator[Part]:
    """Query and gallery of split 0, and of every split with other sizes."""
    seen: set[tuple[str, tuple[Any, ...]]] = set()
    for number, split in enumerate(data.splits):
        for name, indices in split._asdict().items():
            found = _count([data.images[index] for index in indices])
            if (name, found[:2]) not in seen:
                yield Part(f"{name}, split {number}" if number else name, found, data.published[name])
            seen.add((name, found[:2]))


def _count(items: Sequence[Item]) -> Counts:
    return Counts(len({item[1] for item in items}), len(items), len({item[2] for item in items}))


def _cell(found: int | None, published: int | None) -> str:
    if found is None:
        return ""
    if published in (None, found):
        return f"{found:,}"
    return colored(f"{found:,} (published {published:,})", "red")
