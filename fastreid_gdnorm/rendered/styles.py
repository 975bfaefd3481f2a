"""How domains differ: the fields of a style, and a table of named styles.

To make the domains harder, easier or more different, edit `TABLE`, and remove the folders that were rendered before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .paint import Colour

WHITE, BLACK, GREY, NAVY = (226, 226, 222), (34, 34, 38), (124, 126, 130), (40, 50, 88)
RED, BLUE, GREEN, YELLOW = (180, 44, 48), (56, 96, 176), (62, 122, 76), (222, 188, 70)
BEIGE, BROWN, PINK, SKY = (202, 182, 150), (104, 76, 56), (222, 150, 164), (136, 180, 220)
DENIM, KHAKI, ORANGE, PURPLE = (74, 92, 128), (142, 132, 96), (216, 118, 50), (112, 72, 136)
COLOURS = (WHITE, BLACK, GREY, NAVY, RED, BLUE, GREEN, YELLOW, BEIGE, BROWN, PINK, SKY, DENIM, KHAKI, ORANGE, PURPLE)


@dataclass(frozen=True)
class DomainStyle:
    """One domain. Probabilities and photometric strengths are 0..1 unless a comment says otherwise."""

    name: str
    number: int  # seeds the domain's generators; unique and never reused
    backdrop: str

    # Season: what people wear. Palettes are short, so many people look alike.
    tops: tuple[Colour, ...]
    seconds: tuple[Colour, ...]  # patterns, caps and bags
    bottoms: tuple[Colour, ...]
    dye: float  # spread around a palette colour, in levels of 0..255
    patterns: tuple[float, ...]  # weights of person.PATTERNS
    bags: tuple[float, ...]  # weights of person.BAGS
    long_sleeves: float
    coats: float
    shorts: float
    skirts: float  # among people with long hair

    # Crops.
    height: int  # pixels
    aspect: float  # height / width
    height_spread: float  # sizes vary by this fraction; 0 means one size, as in Market-1501
    margin: float  # space around the body, fraction of its height
    misalign: float  # shift of the body in its box, fraction of its height
    occlusion: float
    passers_by: float
    pitch: float  # how far the cameras look down, in radians

    # Light, lens and sensor.
    cast: tuple[float, float, float]  # gain of R, G, B
    gamma: float  # above 1 darkens
    contrast: float  # gain around mid grey
    brightness: float  # added to levels of 0..1
    saturation: float  # gain around grey
    camera_spread: float  # how much the domain's cameras differ in gain and cast
    blur: float  # sigma in native pixels
    noise: float  # sigma in levels of 0..1
    quality: tuple[int, int]  # JPEG quality, lowest and highest


# A row for each field, a column for each domain; wide cells are written below each other.
# fmt: off
TABLE: dict[str, tuple[Any, ...]] = {
    "name":          ("street",  "mall",    "station", "campus",  "night"),
    "number":        (1,         2,         3,         4,         5),
    "backdrop":      ("street",  "mall",    "station", "campus",  "night"),

    "tops":          ((BLACK, NAVY, GREY, WHITE, RED, BLUE),
                      (WHITE, PINK, BEIGE, BLACK, SKY, RED),
                      (BLACK, NAVY, GREY, BROWN, KHAKI),
                      (WHITE, YELLOW, GREEN, SKY, ORANGE, PURPLE, GREY),
                      (BLACK, GREY, NAVY, BEIGE, GREEN, RED)),
    "seconds":       ((WHITE, GREY, BLACK, RED),
                      (BLACK, PINK, WHITE, BROWN),
                      (GREY, RED, BLACK, BEIGE),
                      (WHITE, NAVY, YELLOW, GREEN),
                      (WHITE, BLACK, YELLOW, GREY)),
    "bottoms":       ((DENIM, BLACK, GREY),
                      (DENIM, BEIGE, BLACK, WHITE),
                      (BLACK, DENIM, GREY),
                      (DENIM, KHAKI, NAVY, WHITE),
                      (DENIM, BLACK, BROWN)),
    "dye":           (10,        8,         10,        12,        9),
    "patterns":      ((0.34, 0.10, 0.08, 0.08, 0.16, 0.10, 0.14),
                      (0.34, 0.14, 0.06, 0.08, 0.14, 0.12, 0.12),
                      (0.46, 0.06, 0.05, 0.08, 0.08, 0.09, 0.18),
                      (0.24, 0.14, 0.08, 0.14, 0.24, 0.10, 0.06),
                      (0.38, 0.08, 0.06, 0.10, 0.14, 0.10, 0.14)),
    "bags":          ((0.5, 0.22, 0.12, 0.16),
                      (0.35, 0.10, 0.33, 0.22),
                      (0.35, 0.3, 0.15, 0.2),
                      (0.38, 0.42, 0.06, 0.14),
                      (0.48, 0.26, 0.10, 0.16)),
    "long_sleeves":  (0.7,       0.4,       1.0,       0.12,      0.9),
    "coats":         (0.15,      0.05,      0.6,       0.0,       0.3),
    "shorts":        (0.08,      0.15,      0.0,       0.5,       0.05),
    "skirts":        (0.2,       0.5,       0.12,      0.4,       0.15),

    "height":        (128,       144,       84,        128,       112),
    "aspect":        (2.0,       2.3,       2.2,       2.0,       2.0),
    "height_spread": (0.0,       0.15,      0.2,       0.1,       0.0),
    "margin":        (0.07,      0.03,      0.10,      0.12,      0.06),
    "misalign":      (0.04,      0.025,     0.06,      0.07,      0.05),
    "occlusion":     (0.18,      0.22,      0.25,      0.15,      0.15),
    "passers_by":    (0.25,      0.45,      0.4,       0.15,      0.2),
    "pitch":         (0.15,      0.35,      0.30,      0.06,      0.22),

    "cast":          ((1.0, 1.0, 1.0),
                      (1.16, 1.02, 0.80),
                      (0.84, 1.04, 1.02),
                      (1.02, 1.04, 0.94),
                      (1.10, 0.92, 0.72)),
    "gamma":         (1.0,       0.72,      1.1,       0.9,       1.3),
    "contrast":      (1.0,       0.80,      0.78,      1.35,      0.85),
    "brightness":    (0.0,       0.07,      0.0,       0.02,      0.0),
    "saturation":    (0.9,       1.05,      0.5,       1.35,      0.8),
    "camera_spread": (0.12,      0.1,       0.09,      0.08,      0.18),
    "blur":          (0.5,       0.4,       0.6,       0.3,       0.7),
    "noise":         (0.015,     0.01,      0.025,     0.01,      0.05),
    "quality":       ((78, 92),  (85, 95),  (45, 68),  (82, 95),  (60, 80)),
}
# fmt: on

STYLES = {name: DomainStyle(**dict(zip(TABLE, column))) for name, column in zip(TABLE["name"], zip(*TABLE.values()))}
