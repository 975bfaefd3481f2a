"""Match images to a site's cameras across spellings, and report images that match none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from .image_names import canonical_camera

OF_READER = "camid "  # prefix of a camera number assigned by a data set's reader
NUMBERED = re.compile(r"(?:c|cam|camera)?[\s_-]*0*(\d+)", re.IGNORECASE)  # 1, 01, c1, cam-1, Camera 01


class SiteCameras:
    """The cameras for which a site has a path or an offset.

    A camera matches the site's camera of the same name, or else the only one with the same number: ``cam-1`` matches
    ``1`` unless the site has both.

    Args:
        names: the cameras' names in any spelling.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._exact = {canonical_camera(name): name for name in self.names}
        counts = Counter(map(_number, self.names))
        self._numbered = {_number(name): name for name in self.names if _number(name) and counts[_number(name)] == 1}

    def find(self, camera: str) -> str:
        """The site's name for a camera, or "" if the camera is unknown or not in the site."""
        return self._exact.get(canonical_camera(camera)) or self._numbered.get(_number(camera), "")

    def usage(self, cameras: Iterable[str]) -> str:
        """One line on how many images follow their own camera, and which cameras the site or the images lack.

        Args:
            cameras: the camera of each image, "" if unknown.
        """
        counts = Counter(cameras)
        followed = sum(n for camera, n in counts.items() if self.find(camera))
        others = sorted({canonical_camera(camera) for camera in counts if camera and not self.find(camera)})
        parts = [f"{followed} of {sum(counts.values())} images follow their own camera at the site"]
        if counts[""]:
            parts.append(f"{counts['']} with unknown camera follow the site as a whole")
        if others:
            parts.append(f"cameras not in the site follow it as a whole: {_shortened(others)}")
        unused = sorted(set(self.names) - {self.find(camera) for camera in counts})
        if unused:
            parts.append(f"cameras of the site without images: {_shortened(unused)}")
        return "; ".join(parts)

    def twins(self) -> list[list[str]]:
        """Groups of names that may be spellings of one camera, such as 1 and cam-1."""
        numbered: dict[str, list[str]] = {}
        for name in self.names:
            numbered.setdefault(_number(name), []).append(name)
        return [names for number, names in numbered.items() if number and len(names) > 1]


def same_camera(one: str, other: str) -> bool | None:
    """Whether two cameras are the same; None if one is unknown, or if their kinds of names cannot be compared."""
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


def _shortened(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
