"""Backgrounds: one wide painted view for each camera."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .paint import Colour

Painting = NDArray[np.uint8]  # (H, W, 3) RGB


def paint_backdrop(kind: str, rng: np.random.Generator, height: int, width: int) -> Painting:
    """Paint a view of the named kind with the generator `rng`: (height, width, 3) uint8 RGB."""
    canvas = np.empty((height, width, 3), np.uint8)
    horizon = int(height * rng.uniform(0.42, 0.62))
    BACKDROPS[kind](canvas, rng, horizon)
    grain = rng.normal(0, 3, (height, width, 1))
    return np.clip(cv2.GaussianBlur(canvas, (5, 5), 0.8) + grain, 0, 255).astype(np.uint8)


def _street(canvas: Painting, rng: np.random.Generator, horizon: int) -> None:
    height, width = canvas.shape[:2]
    x = 0
    while x < width:  # house fronts with windows
        house = int(rng.uniform(0.5, 1.0) * height)
        _box(canvas, x, 0, x + house, horizon, rng.integers(105, 200) + rng.integers(-14, 14, 3))
        pane = house // int(rng.integers(3, 6))
        glass = rng.integers(45, 100) + rng.integers(-12, 12, 3)
        for left in range(x + pane // 4, x + house - pane // 2, pane):
            for top in range(horizon // 12, horizon - pane // 2, int(pane * 1.3)):
                _box(canvas, left, top, left + pane // 2, top + int(pane * 0.8), glass)
        x += house
    _ground(canvas, horizon, (126, 124, 122), (98, 98, 100))
    kerb = int(horizon + 0.14 * (height - horizon))
    _box(canvas, 0, horizon, width, kerb, (168, 164, 156))
    for left in range(int(rng.integers(0, 80)), width, int(height * 0.8)):  # parked cars
        if rng.random() < 0.6:
            _car(canvas, left, kerb, height // 2, rng.integers(40, 190) + rng.integers(-40, 40, 3))
    for left in range(0, width, height // 3):
        _box(canvas, left, int(height * 0.93), left + height // 6, int(height * 0.95), (225, 222, 210))


def _mall(canvas: Painting, rng: np.random.Generator, horizon: int) -> None:
    height, width = canvas.shape[:2]
    canvas[:horizon] = (226, 218, 202)
    x = 0
    while x < width:  # shop fronts with signs and goods
        shop = int(rng.uniform(0.6, 1.1) * height)
        _box(canvas, x + 6, horizon // 4, x + shop - 6, horizon, rng.integers(170, 250, 3))
        _box(canvas, x + 6, horizon // 8, x + shop - 6, horizon // 4, rng.integers(20, 240, 3))
        for _ in range(9):
            left, top = int(rng.integers(x, x + shop)), int(rng.integers(horizon // 3, horizon))
            _box(canvas, left, top, left + height // 24, top + height // 14, rng.integers(30, 250, 3))
        x += shop
    _ground(canvas, horizon, (206, 198, 186), (232, 226, 214))
    for row in np.linspace(0, 1, 7) ** 1.8:  # tiles
        y = int(horizon + row * (height - horizon))
        cv2.line(canvas, (0, y), (width, y), (176, 168, 158), 1)
    for left in range(-width, 2 * width, height // 4):
        cv2.line(canvas, (width // 2 + (left - width // 2) // 2, horizon), (left, height), (176, 168, 158), 1)


def _station(canvas: Painting, rng: np.random.Generator, horizon: int) -> None:
    height, width = canvas.shape[:2]
    canvas[:horizon] = (132, 138, 142)
    _box(canvas, 0, horizon // 5, width, horizon - 4, (176, 184, 190))  # train
    _box(canvas, 0, int(horizon * 0.72), width, int(horizon * 0.82), rng.integers(20, 200, 3))
    for left in range(int(rng.integers(0, 60)), width, height // 3):
        _box(canvas, left, horizon // 3, left + height // 5, int(horizon * 0.66), (52, 60, 70))
    for left in range(int(rng.integers(0, 90)), width, int(height * 0.9)):
        _box(canvas, left, 0, left + height // 14, int(horizon * 1.1), (94, 96, 98))  # pillars
    _ground(canvas, horizon, (112, 112, 110), (140, 138, 134))
    line = int(horizon + 0.2 * (height - horizon))
    _box(canvas, 0, line, width, line + height // 40, (214, 184, 52))


def _campus(canvas: Painting, rng: np.random.Generator, horizon: int) -> None:
    height, width = canvas.shape[:2]
    canvas[:horizon] = (172, 204, 236)
    hall = int(rng.integers(0, width // 2))
    _box(canvas, hall, horizon // 6, hall + width // 2, horizon, (164, 98, 76))  # brick hall
    for left in range(hall + 10, hall + width // 2 - 10, height // 7):
        _box(canvas, left, horizon // 3, left + height // 16, int(horizon * 0.62), (216, 222, 226))
    for _ in range(7):  # trees
        centre, top = int(rng.integers(0, width)), int(rng.uniform(0.1, 0.5) * horizon)
        _box(canvas, centre - 4, top, centre + 4, horizon, (92, 70, 50))
        for _ in range(14):
            spot = (centre + int(rng.normal(0, height / 14)), top + int(rng.normal(0, height / 18)))
            cv2.circle(canvas, spot, height // 22, _rgb(rng.integers((40, 90, 30), (96, 156, 70))), -1)
    _ground(canvas, horizon, (108, 150, 74), (88, 132, 60))
    near = int(horizon + rng.uniform(0.25, 0.5) * (height - horizon))
    _box(canvas, 0, near, width, height, (184, 164, 138))
    for y in range(near, height, max(height // 30, 4)):
        cv2.line(canvas, (0, y), (width, y), (166, 144, 118), 1)


def _night(canvas: Painting, rng: np.random.Generator, horizon: int) -> None:
    height, width = canvas.shape[:2]
    canvas[:horizon] = (34, 36, 50)
    for _ in range(26):  # out-of-focus windows and lamps
        centre = (int(rng.integers(0, width)), int(rng.integers(0, horizon)))
        glow = _rgb(rng.integers((120, 90, 40), (255, 220, 170)))
        if rng.random() < 0.5:
            cv2.circle(canvas, centre, int(rng.integers(3, height // 24)), glow, -1)
        else:
            _box(canvas, centre[0], centre[1], centre[0] + height // 22, centre[1] + height // 14, glow)
    _ground(canvas, horizon, (58, 58, 66), (82, 78, 78))
    for _ in range(10):  # reflections on the wet ground
        left = int(rng.integers(0, width))
        _box(canvas, left, horizon, left + height // 40, height, rng.integers((90, 80, 60), (150, 130, 100)))


Painter = Callable[[Painting, np.random.Generator, int], None]
BACKDROPS: dict[str, Painter] = {
    "street": _street,
    "mall": _mall,
    "station": _station,
    "campus": _campus,
    "night": _night,
}


def _ground(canvas: Painting, horizon: int, far: Colour, near: Colour) -> None:
    ramp = np.linspace(0, 1, len(canvas) - horizon)[:, None, None]
    canvas[horizon:] = np.asarray(far) * (1 - ramp) + np.asarray(near) * ramp


def _car(canvas: Painting, left: int, ground: int, length: int, colour: NDArray[Any]) -> None:
    tall = length // 4
    _box(canvas, left + length // 5, ground - 2 * tall, left + 4 * length // 5, ground - tall, (60, 70, 80))
    _box(canvas, left, ground - tall - tall // 3, left + length, ground, colour)
    for wheel in (left + length // 5, left + 4 * length // 5):
        cv2.circle(canvas, (wheel, ground), tall // 2, (28, 28, 30), -1)


def _box(canvas: Painting, left: int, top: int, right: int, bottom: int, colour: ArrayLike) -> None:
    cv2.rectangle(canvas, (int(left), int(top)), (int(right) - 1, int(bottom) - 1), _rgb(colour), -1)


def _rgb(colour: ArrayLike) -> Colour:
    red, green, blue = (int(value) for value in np.clip(colour, 0, 255))
    return red, green, blue
