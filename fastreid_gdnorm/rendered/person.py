"""An identity: what stays the same about a person from camera to camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .paint import Colour
from .styles import DomainStyle

T = TypeVar("T")

SKINS = ((238, 203, 178), (224, 180, 148), (198, 148, 112), (150, 102, 72), (98, 66, 48))
HAIRS = ((28, 24, 24), (52, 38, 30), (92, 62, 40), (150, 112, 66), (196, 168, 120), (140, 138, 136))
HAIR_STYLES = ("short", "long", "bun", "bald", "cap")
PATTERNS = ("plain", "stripes", "bars", "checks", "logo", "yoke", "open")
BAGS = ("none", "backpack", "handbag", "shoulder")
SHOES = ((30, 30, 32), (232, 232, 228), (110, 78, 52), (150, 40, 44), (70, 84, 110))


@dataclass(frozen=True)
class Person:
    """The appearance of one identity. Colours are RGB in 0..255, lengths are fractions of the body's height."""

    skin: Colour
    hair: Colour
    hair_style: str
    build: float  # breadth of the body; 1 is average
    legs: float  # height of the hips
    top: Colour
    second: Colour  # the pattern's other colour
    pattern: str
    sleeve: float  # covered part of the arm, 0..1
    hem: float  # height at which the top ends; a coat ends below the hips
    bottom: Colour
    bottom_kind: str  # trousers, shorts or skirt
    shoes: Colour
    bag: str
    bag_colour: Colour

    @classmethod
    def random(cls, rng: np.random.Generator, style: DomainStyle) -> Person:
        """A random person, dressed for the domain."""

        def pick(choices: Sequence[T], weights: Sequence[float] | None = None) -> T:
            return choices[int(rng.choice(len(choices), p=weights))]

        def dye(palette: Sequence[Colour], spread: float) -> Colour:
            return _jitter(pick(palette), spread, rng)

        long_hair = rng.random() < 0.45
        hair_weights = (0.1, 0.65, 0.2, 0.0, 0.05) if long_hair else (0.72, 0.0, 0.0, 0.1, 0.18)
        coat = rng.random() < style.coats
        skirt = long_hair and rng.random() < style.skirts
        shorts = not skirt and rng.random() < style.shorts
        return cls(
            skin=dye(SKINS, 6),
            hair=dye(HAIRS, 8),
            hair_style=pick(HAIR_STYLES, hair_weights),
            build=float(rng.uniform(0.84, 1.0 if long_hair else 1.22)),
            legs=float(rng.uniform(0.47, 0.53)),
            top=dye(style.tops, style.dye),
            second=dye(style.seconds, style.dye),
            pattern=pick(PATTERNS, style.patterns),
            sleeve=1.0 if coat or rng.random() < style.long_sleeves else float(rng.uniform(0.22, 0.42)),
            hem=float(rng.uniform(0.30, 0.38) if coat else rng.uniform(0.44, 0.49)),
            bottom=dye(style.bottoms, style.dye),
            bottom_kind="skirt" if skirt else "shorts" if shorts else "trousers",
            shoes=dye(SHOES, 8),
            bag=pick(BAGS, style.bags),
            bag_colour=dye(style.seconds, style.dye),
        )


def _jitter(colour: Colour, spread: float, rng: np.random.Generator) -> Colour:
    red, green, blue = (int(value) for value in np.clip(np.asarray(colour) + rng.normal(0, spread, 3), 4, 250))
    return red, green, blue
