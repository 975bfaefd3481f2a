"""What the names of image files say."""

from __future__ import annotations

import os
import re

# as Market-1501 and DukeMTMC-reID name images: 0002_c1s1_000451_03.jpg, 0001_c2_f0046182.jpg
NAME = re.compile(r"(?P<identity>-?\d+)_c(?P<camera>\d+)_?(?P<time>(?:s\d+_\d+|f\d+)?)")


def camera_of(path: str) -> str:
    """The camera that a name like Market-1501's says, as a decimal number; empty for others."""
    match = NAME.match(os.path.basename(path))
    return str(int(match["camera"])) if match else ""
