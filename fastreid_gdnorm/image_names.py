"""Identity, camera and time from the names of image files."""

from __future__ import annotations

import os
import re

OFFICIAL = (
    r"(?P<identity>-1|\d{4,5})_c(?P<camera>\d{1,3})(?P<time>s\d+_\d+)_\d+",  # Market-1501: 0002_c1s1_000451_03.jpg
    r"(?P<identity>\d{4,5})_c(?P<camera>\d{1,3})_(?P<time>f\d{7})",  # DukeMTMC-reID: 0005_c2_f0046985.jpg
)
# For data sets laid out like Market-1501: identity and camera, then the end or a part that belongs to neither.
MARKET_STYLE = r"(-?\d+)_c(\d+)(?:(?:s\d|[^0-9a-zA-Z]).*)?"


def official(path: str) -> re.Match[str] | None:
    """Identity, camera and time, if a name follows the full pattern of Market-1501 or DukeMTMC-reID; else None."""
    stem, _ = os.path.splitext(os.path.basename(path))
    return next(filter(None, (re.fullmatch(form, stem) for form in OFFICIAL)), None)


def camera_of(path: str) -> str:
    """The camera number in a file name of a Market-1501-style data set, without leading zeros; "" for other names."""
    stem, _ = os.path.splitext(os.path.basename(path))
    match = re.fullmatch(MARKET_STYLE, stem)
    return str(int(match[2])) if match else ""


def canonical_camera(text: str) -> str:
    """One spelling for a camera: `` 01 ``, ``1`` and a spreadsheet's ``1.0`` all become ``1``."""
    number = re.fullmatch(r"0*(\d+)(\.0+)?", text.strip())
    return number[1] if number else text.strip()
