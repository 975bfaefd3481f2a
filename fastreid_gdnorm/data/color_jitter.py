"""Colour jitter with torchvision's random numbers and pixels, in less than half of its time.

torchvision leaves Pillow's images to Pillow, which computes pixel by pixel. Here, an image is three planes of bytes,
of which NumPy computes many at a time.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any, NamedTuple

import cv2
import numpy as np
import torchvision
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]  # (height, width), or (3, height, width) for R, G and B

GREY = np.array([19595, 38470, 7471], np.float32) / 65536  # Pillow's weights; float32 holds such sums exactly
LARGEST = ((213, 86), (43, 85), (128, 85))  # R, G or B is the largest from this hue on, for so many hues
SMALLEST = ((85, 85), (170, 85), (255, 86))


class ColorJitter(torchvision.transforms.ColorJitter):
    """torchvision's ColorJitter, but faster for RGB images of Pillow."""

    def forward(self, img: Any) -> Any:
        if getattr(img, "mode", "") != "RGB":
            return super().forward(img)
        order, *factors = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        planes = _planes(img)
        for step in order.tolist():
            if factors[step] is not None:
                planes = ADJUSTMENTS[step](planes, factors[step])
        return Image.fromarray(cv2.merge([*planes]))


def adjust_brightness(planes: Bytes, factor: float) -> Bytes:
    return _blend(0, planes, factor)


def adjust_contrast(planes: Bytes, factor: float) -> Bytes:
    grey = _grey(planes)
    return _blend(int(grey.sum() / grey.size + 0.5), planes, factor)


def adjust_saturation(planes: Bytes, factor: float) -> Bytes:
    return _blend(_grey(planes).astype(np.float32), planes, factor)


def adjust_hue(planes: Bytes, factor: float) -> Bytes:
    tables = _hue_tables()
    red, green, blue = planes
    largest, smallest = planes.max(axis=0), planes.min(axis=0)
    chroma, fall = largest - smallest, largest + largest + smallest - red - green - blue
    hue = tables.hue.take((_order(planes).astype(np.uint32) * 256 + chroma) * 256 + fall)
    hue += np.int32(factor * 255).astype(np.uint8)  # bytes wrap around, as hues do
    saturation, smallest = _planes(
        tables.saturation_and_smallest.take(chroma.astype(np.uint16) * 256 + largest, axis=0)
    )
    middle = tables.middle.take(saturation.astype(np.uint16) * 256 + hue)
    middle *= largest
    middle += 0.5
    adjusted = np.empty_like(planes)
    for plane, is_largest, is_smallest in zip(adjusted, LARGEST, SMALLEST):
        plane[:] = middle
        np.copyto(plane, largest, where=_within(hue, *is_largest))
        np.copyto(plane, smallest, where=_within(hue, *is_smallest))
    return adjusted


ADJUSTMENTS = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)  # by torchvision's numbers


class _HueTables(NamedTuple):
    """What Pillow's conversions from RGB to HSV and back give, for every colour."""

    hue: NDArray[np.uint8]  # by order, chroma (largest minus smallest), and fall (largest minus middle)
    saturation_and_smallest: NDArray[np.uint8]  # (65536, 2) by chroma and largest; the smallest is that of the way back
    middle: NDArray[np.float32]  # on the way back, as a fraction of the largest, by saturation and hue


@functools.cache
def _hue_tables() -> _HueTables:
    row, column = np.meshgrid(*2 * [np.arange(256, dtype=np.uint8)], indexing="ij")

    hue = np.zeros((8, 256, 256), np.uint8)
    falling = [np.full_like(row, 255), 255 - np.minimum(row, column), 255 - row]
    for places in itertools.permutations(range(3)):
        planes = np.stack([falling[place] for place in places])
        hue[_order(planes)[2, 1]] = _converted(planes, "RGB", "HSV")[0]

    smallest = np.maximum(row, column) - row
    _, saturation, largest = _converted(np.stack([column, smallest, smallest]), "RGB", "HSV")
    smallest = _converted(np.stack([0 * row, saturation, largest]), "HSV", "RGB")[2]

    sixths = np.arange(256) * 6 / 255
    distance = np.abs(sixths % 2 - 1)
    middle = 1 - np.outer(np.arange(256) / 255, distance)
    return _HueTables(
        hue.ravel(), np.stack([saturation, smallest], 2).reshape(-1, 2), middle.astype(np.float32).ravel()
    )


def _converted(planes: Bytes, mode: str, other: str) -> Bytes:
    return _planes(Image.merge(mode, [Image.fromarray(plane) for plane in planes]).convert(other))


def _planes(image: Any) -> Bytes:
    return np.array(cv2.split(np.asarray(image)), np.uint8)


def _order(planes: Bytes) -> Bytes:
    """A number for each order of R, G and B by size. Where two are equal, both orders give the same hue."""
    red, green, blue = planes
    order: Bytes = 4 * (red >= green).view(np.uint8) + 2 * (green >= blue).view(np.uint8) + (blue >= red)
    return order


def _within(hue: Bytes, start: int, count: int) -> NDArray[np.bool_]:
    within: NDArray[np.bool_] = hue - np.uint8(start) < count
    return within


def _grey(planes: Bytes) -> Bytes:
    red, green, blue = planes
    grey = red * GREY[0]
    grey += green * GREY[1]
    grey += blue * GREY[2]
    grey += 0.5
    rounded: Bytes = grey.astype(np.uint8)
    return rounded


def _blend(base: Any, planes: Bytes, factor: float) -> Bytes:
    """``base`` plus ``factor`` times the planes' distance from it, rounded down."""
    blend = planes.astype(np.float32)
    blend -= base
    blend *= factor
    blend += base
    return (blend.clip(0, 255, out=blend) if factor > 1 else blend).astype(np.uint8)
