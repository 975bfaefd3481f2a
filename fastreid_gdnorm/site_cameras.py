"""Which of a site's cameras an image is of, however its camera is written, and what to say of the images of none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from .image_names import canonical_camera

OF_READER = "camid "  # before the number that a data set's reader gives a camera
NUMBERED = re.compile(r"(?:c|cam|camera)?[\s_-]*0*(\d+)", re.IGNORECASE)  # 1, 01, c1, cam-1, Camera 01


class SiteCameras:
    """The cameras that a site has a path or an offset for.

    A camera is the one of the same name, else the only one that its number can mean: ``cam-1`` is camera 1 unless the
    site has both.

    Args:
        names: as they were written.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._exact = {canonical_camera(name): name for name in self.names}
        often = Counter(map(_number, self.names))
        self._numbered = {_number(name): name for name in self.names if _number(name) and often[_number(name)] == 1}

    def find(self, camera: str) -> str:
        """The name that a camera has here, or "" if the site lacks it or it is not known."""
        return self._exact.get(canonical_camera(camera)) or self._numbered.get(_number(camera), "")

    def usage(self, cameras: Iterable[str]) -> str:
        """How many images follow their camera, and which cameras the site lacks or no image is of, as a line.

        Args:
            cameras: of each image, "" where it is not known.
        """
        counts = Counter(cameras)
        followed = sum(n for camera, n in counts.items() if self.find(camera))
        others = sorted({canonical_camera(camera) for camera in counts if camera and not self.find(camera)})
        parts = [f"{followed} of {sum(counts.values())} images follow their camera of the site"]
        if counts[""]:
            parts.append(f"{counts['']} of unknown camera follow the site as a whole")
        if others:
            parts.append(f"those of cameras that the site lacks follow it as a whole: {_some(others)}")
        unmet = sorted(set(self.names) - {self.find(camera) for camera in counts})
        if unmet:
            parts.append(f"no image is of the site's cameras {_some(unmet)}")
        return "; ".join(parts)

    def twins(self) -> list[list[str]]:
        """Names that may be one camera, written in several ways, such as 1 and cam-1."""
        numbered: dict[str, list[str]] = {}
        for name in self.names:
            numbered.setdefault(_number(name), []).append(name)
        return [names for number, names in numbered.items() if number and len(names) > 1]


def same_camera(one: str, other: str) -> bool | None:
    """Whether two images are of one camera; None if a camera is not known, or they are written in ways of two kinds."""
    if not one.strip() or not other.strip():
        return None
    if canonical_camera(one) == canonical_camera(other):
        return True
    numbers = _number(one), _number(other)
    if all(numbers):
        return numbers[0] == numbers[1]
    of_reader = [camera.strip().startswith(OF_READER) for camera in (one, other)]
    return None if any(numbers) or of_reader[0] != of_reader[1] else False


def _number(camera: str) -> str:
    match = NUMBERED.fullmatch(camera.strip())
    return match[1] if match else ""


def _some(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
