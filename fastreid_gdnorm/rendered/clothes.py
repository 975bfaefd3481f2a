"""The colour of a body at each point of its surface.

Each function returns an `albedo(t, u)` for `paint.stroke`. Patterns are defined in longitude around the body (radians,
0 in front, positive towards the person's left), so they turn with the person.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .paint import Albedo
from .person import Person

Values = NDArray[np.float64]

NECK_HEIGHT = 0.845


def top_albedo(person: Person, yaw: float) -> Albedo:
    """The torso from the neck (t=0) to the hem (t=1): cloth, pattern, neckline and bag straps."""
    top, second, bag, skin = (np.asarray(c, float) for c in (person.top, person.second, person.bag_colour, person.skin))

    def albedo(t: Values, u: Values) -> Values:
        height = NECK_HEIGHT - t * (NECK_HEIGHT - person.hem)
        longitude = _longitude(u, yaw)
        colour = _mix(top, second, _pattern(person.pattern, height, longitude))
        colour *= (1 + 0.05 * np.sin(26 * t + 4 * u) + 0.03 * np.sin(11 * t - 7 * u))[:, None]  # folds
        if person.bag == "backpack":
            strap = (np.abs(np.abs(longitude) - 0.6) < 0.16) & (height > 0.60)
            colour = _mix(colour, bag, strap)
        elif person.bag == "shoulder":
            strap = np.abs(height - 0.69 + 0.12 * np.sin(longitude)) < 0.014
            colour = _mix(colour, bag, strap)
        return _mix(colour, skin, height > 0.835 - 0.03 * np.cos(longitude))

    return albedo


def head_albedo(person: Person, yaw: float) -> Albedo:
    """The head from the crown (t=0) to the chin (t=1): face, eyes, hair or cap."""
    skin, hair, cap = (np.asarray(c, float) for c in (person.skin, person.hair, person.second))
    fringe, temple, nape = {
        "short": (0.24, 1.30, 0.74),
        "long": (0.22, 0.95, 1.10),
        "bun": (0.18, 1.10, 0.66),
        "bald": (0.0, 9.0, 0.0),
        "cap": (0.16, 1.40, 0.72),
    }[person.hair_style]

    def albedo(t: Values, u: Values) -> Values:
        longitude = np.abs(_longitude(u, yaw))
        eyes = (np.abs(longitude - 0.42) < 0.16) & (np.abs(t - 0.50) < 0.05)
        colour = _mix(skin, (40, 30, 30), 0.75 * eyes)
        colour = _mix(colour, hair, (t < fringe) | ((longitude > temple) & (t < nape)))
        return _mix(colour, cap, (t < 0.34) & (person.hair_style == "cap"))

    return albedo


def sleeve_albedo(person: Person, start: float, end: float) -> Albedo:
    """The part of an arm between the fractions `start` and `end` of its length."""
    cloth, second, skin = (np.asarray(c, float) for c in (person.top, person.second, person.skin))

    def albedo(t: Values, u: Values) -> Values:
        along = start + t * (end - start)
        striped = (np.sin(along * 36) > 0.3) & (person.pattern == "stripes")
        return _mix(_mix(cloth, second, striped), skin, along > person.sleeve)

    return albedo


def _pattern(name: str, height: Values, longitude: Values) -> NDArray[Any]:
    """How much the second colour shows, 0..1."""
    rows, columns = np.sin(height * 115), np.sin(longitude * 6.5)
    if name == "stripes":
        return rows > 0.2
    if name == "bars":
        return columns > 0.35
    if name == "checks":
        return 0.45 * (rows > 0) + 0.45 * (columns > 0)
    if name == "logo":
        return (np.abs(longitude) < 0.55) & (np.abs(height - 0.71) < 0.042)
    if name == "yoke":
        return height > 0.715
    if name == "open":
        return np.abs(longitude) < 0.34
    return np.zeros_like(height)


def _longitude(u: Values, yaw: float) -> Values:
    longitude: Values = (np.arcsin(u) - yaw + np.pi) % (2 * np.pi) - np.pi
    return longitude


def _mix(base: Values, other: ArrayLike, weight: ArrayLike) -> Values:
    share = np.asarray(weight, float)[:, None]
    mixed: Values = base * (1 - share) + np.asarray(other, float) * share
    return mixed
