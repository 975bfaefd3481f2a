"""Open a site: the posterior paths and camera offsets in a folder of ``fastreid adapt``."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from ..site_files import OFFSETS, read_summary
from .camera_offsets import CameraOffsets


class Site(NamedTuple):
    """The adaptation that features follow.

    Args:
        path: posterior:FOLDER, or "" if the site has no posterior path.
        offsets: the site's camera offsets, or None.
    """

    path: str = ""
    offsets: CameraOffsets | None = None


def open_site(folder: str | Path) -> Site:
    """Open a folder of ``fastreid adapt``.

    Raises:
        UserError: it is not such a folder, or it is damaged.
    """
    place = Path(folder).resolve()
    summary = read_summary(place)
    offsets = CameraOffsets.load(place / OFFSETS, str(place)) if "offsets" in summary else None
    return Site(f"posterior:{place}" if "cameras" in summary else "", offsets)


def has_changed(copy: CameraOffsets) -> bool:
    """Whether the site that offsets were copied from now has different ones; False if the site is gone."""
    try:
        now = open_site(copy.site).offsets if copy.site else copy
    except UserError:
        return False
    return now is None or now.digest() != copy.digest()
