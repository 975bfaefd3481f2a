"""What the names of image files say."""

from __future__ import annotations

import os
import re

OFFICIAL = (
    r"(?P<identity>-1|\d{4,5})_c(?P<camera>\d{1,3})(?P<time>s\d+_\d+)_\d+",  # Market-1501: 0002_c1s1_000451_03.jpg
    r"(?P<identity>\d{4,5})_c(?P<camera>\d{1,3})_(?P<time>f\d{7})",  # DukeMTMC-reID: 0005_c2_f0046985.jpg
)
# in folders laid out as Market-1501's: identity and camera, then the end or something that belongs to neither
MARKET_STYLE = r"(-?\d+)_c(\d+)(?:(?:s\d|[^0-9a-zA-Z]).*)?"


def official(path: str) -> re.Match[str] | None:
    """Identity, camera and time, where a name has the whole form of Market-1501's or DukeMTMC-reID's."""
    stem, _ = os.path.splitext(os.path.basename(path))
    return next(filter(None, (re.fullmatch(form, stem) for form in OFFICIAL)), None)


def camera_of(path: str) -> str:
    """The camera that a name in a data set in Market-1501's style says, as a decimal number; empty for others."""
    stem, _ = os.path.splitext(os.path.basename(path))
    match = re.fullmatch(MARKET_STYLE, stem)
    return str(int(match[2])) if match else ""


def canonical_camera(text: str) -> str:
    """One form for all ways to write a camera: `` 01 ``, ``1`` and a spreadsheet's ``1.0`` are camera 1."""
    number = re.fullmatch(r"0*(\d+)(\.0+)?", text.strip())
    return number[1] if number else text.strip()
