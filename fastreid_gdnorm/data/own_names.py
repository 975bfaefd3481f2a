"""Names of the user's own data in a config: one for each domain, and valid from any working directory."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from fastreid.config import CfgNode

from ..image_tables import is_table
from .by_name import is_read_by, reader_of
from .own_data import OwnData, domains_of, own_rows

ROOT = "DATASETS.OWN.ROOT"


def settle_names(cfg: CfgNode, typed: Collection[str]) -> None:
    """Let DATASETS.NAMES and TESTS name every domain of the user's own data, relative to DATASETS.OWN.ROOT.

    ROOT becomes the working directory if it is not set and a name needs it. The config of a run has ROOT: its names are
    final, so its sources stay the same if a table changes; only names that are typed are settled, relative to the
    working directory, or to ROOT if they are not there. Other data sets keep their names.

    Args:
        typed: the keys that overrides set.

    Raises:
        UserError: a table or a folder cannot be read.
    """
    is_final = bool(cfg.DATASETS.OWN.ROOT) and ROOT not in typed
    base = "" if is_final else cfg.DATASETS.OWN.ROOT
    for key in ("NAMES", "TESTS"):
        if not is_final or f"DATASETS.{key}" in typed:
            cfg.DATASETS[key] = settled(cfg, cfg.DATASETS[key], base)


def settled(cfg: CfgNode, names: Sequence[str], base: str = "") -> tuple[str, ...]:
    """``names`` as :func:`settle_names` writes them. The config's ROOT is set if it is empty and a name needs it.

    Args:
        base: the folder that the names are relative to; "" is the working directory.
    """
    found: list[str] = []
    for name in names:
        found += _domains(cfg, name, os.path.abspath(base)) if is_read_by(OwnData, name) else [name]
    return tuple(found)


def trains_and_tests(cfg: CfgNode, name: str) -> bool:
    """Whether a data set is the user's own, can be read, and has the same images for training and tests."""
    if not is_read_by(OwnData, name):
        return False
    place = os.path.join(cfg.DATASETS.OWN.ROOT, reader_of(name).place)
    return os.path.exists(place) and not own_rows(place, cfg.DATASETS.OWN.LAYOUT)[0][0].split


def _domains(cfg: CfgNode, name: str, base: str) -> list[str]:
    own = cfg.DATASETS.OWN
    own.ROOT = os.path.abspath(own.ROOT or base)
    reader = reader_of(name)
    places = [os.path.normpath(os.path.join(folder, reader.place)) for folder in (base, own.ROOT)]
    place = next(filter(os.path.exists, places), places[0])
    inside = os.path.relpath(place, own.ROOT)
    short = place if inside.startswith(os.pardir) else inside
    if not is_table(place):
        short = os.path.join(short, "")
    if reader.domain:
        return [f"{short}#{reader.domain}"]
    domains = domains_of(own_rows(place, own.LAYOUT)[0]) if os.path.exists(place) else []
    return [f"{short}#{domain}" for domain in domains] if len(domains) > 1 else [short]
