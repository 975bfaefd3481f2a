"""Shaded strokes, the primitive from which every body part, bag and pole is painted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

Canvas = NDArray[np.float64]  # (H, W, 3) RGB in 0..255
Colour = tuple[int, int, int]  # RGB in 0..255
Albedo = Union[Colour, NDArray[Any], Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]]

AMBIENT, DIFFUSE = 0.52, 0.56
_ARC = np.linspace(0.0, np.pi / 2, 6)
_COSINES, _SINES = np.cos(_ARC), np.sin(_ARC)


def light_from(azimuth: float, elevation: float = 0.6) -> NDArray[np.float64]:
    """Unit vector (right, down, towards the viewer) to a light that is `azimuth` radians to the viewer's right."""
    flat = np.cos(elevation)
    return np.array([np.sin(azimuth) * flat, -np.sin(elevation), np.cos(azimuth) * flat])


def capsule(start_radius: float, end_radius: float, length: float) -> NDArray[np.float64]:
    """Profile of a tapered limb with round ends; radii and length in pixels."""
    length = max(length, 1.0)
    profile = np.empty((2 * len(_ARC), 2))
    profile[: len(_ARC), 0], profile[: len(_ARC), 1] = -_COSINES * start_radius / length, _SINES * start_radius
    profile[len(_ARC) :, 0], profile[len(_ARC) :, 1] = 1 + _SINES * end_radius / length, _COSINES * end_radius
    return profile


def stroke(
    canvas: Canvas,
    start: ArrayLike,
    end: ArrayLike,
    profile: NDArray[np.float64],
    albedo: Albedo,
    light: NDArray[np.float64],
) -> None:
    """Paint one solid of revolution in place.

    Args:
        canvas: (H, W, 3) contiguous float64 RGB in 0..255. In float64, the last bit of a sine, which can differ between
            processors, does not change a pixel.
        start, end: the axis in pixels (x, y), from the upper to the lower end.
        profile: (n, 2) rows of (t, half-width in pixels). t is 0 at the start and 1 at the end, and can go beyond both.
        albedo: an RGB colour, or a function of arrays t and u, each (n,), that returns (n, 3). u is -1 at the left rim
            and 1 at the right rim.
        light: unit vector of `light_from`.
    """
    start, end = np.asarray(start, float), np.asarray(end, float)
    length = max(np.hypot(*(end - start)), 1.0)
    unit = (end - start) / length
    knots, widths = profile[:, 0], profile[:, 1]
    tips = start + np.outer(knots[[0, -1]] * length, unit)
    reach = widths.max() + 1
    height, width = canvas.shape[:2]
    left, top = np.maximum(np.floor(tips.min(0) - reach), 0).astype(int)
    right, bottom = np.minimum(np.ceil(tips.max(0) + reach), (width, height)).astype(int)
    if left >= right or top >= bottom:
        return

    x = np.arange(left, right)[None, :] - start[0]
    y = np.arange(top, bottom)[:, None] - start[1]
    t = (x * unit[0] + y * unit[1]) / length
    across = x * unit[1] - y * unit[0]
    half = np.interp(t, knots, widths, left=-1.0, right=-1.0)
    cover = half - np.abs(across) + 0.5
    inside = np.flatnonzero(cover > 0)
    cover, t, across, half = (array.ravel()[inside] for array in (cover, t, across, half))
    u = np.clip(across / np.maximum(half, 0.5), -1.0, 1.0)
    facing = u * (unit[1] * light[0] - unit[0] * light[1]) + np.sqrt(1 - u * u) * light[2] - 0.35 * light[1]
    shade = AMBIENT + DIFFUSE * np.clip(facing, 0.0, 1.0)
    colour = albedo(t, u) if callable(albedo) else np.asarray(albedo, float)
    rows, columns = np.divmod(inside, right - left)
    pixels = (rows + top) * width + columns + left
    flat = canvas.reshape(-1, 3)
    under = flat[pixels]
    painted = np.minimum(colour * shade[:, None], 255)
    flat[pixels] = under + np.minimum(cover, 1.0)[:, None] * (painted - under)


def shadow(canvas: Canvas, centre: NDArray[np.float64], radii: tuple[float, float], depth: float) -> None:
    """Darken the ground in place below something that stands at `centre`; radii in pixels, depth in 0..1."""
    top = max(int(centre[1] - 3 * radii[1]), 0)
    x = (np.arange(canvas.shape[1]) - centre[0]) / radii[0]
    y = (np.arange(top, min(int(centre[1] + 3 * radii[1]), canvas.shape[0])) - centre[1]) / radii[1]
    canvas[top : top + len(y)] *= 1 - depth * (np.exp(-y * y)[:, None] * np.exp(-x * x))[..., None]
