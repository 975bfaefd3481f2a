"""What differs between data sets: the table of styles, and the photometric pipeline that applies one.

Every strength is a field of `DomainStyle`: to make the domains harder, easier or further apart, edit `STYLES`
(and remove the folders drawn before).
"""

from dataclasses import dataclass

import cv2
import numpy as np

WHITE, BLACK, GREY, NAVY = (226, 226, 222), (34, 34, 38), (124, 126, 130), (40, 50, 88)
RED, BLUE, GREEN, YELLOW = (180, 44, 48), (56, 96, 176), (62, 122, 76), (222, 188, 70)
BEIGE, BROWN, PINK, SKY = (202, 182, 150), (104, 76, 56), (222, 150, 164), (136, 180, 220)
DENIM, KHAKI, ORANGE, PURPLE = (74, 92, 128), (142, 132, 96), (216, 118, 50), (112, 72, 136)


@dataclass(frozen=True)
class DomainStyle:
    """One domain. Probabilities and photometric strengths are 0..1 where nothing else is said."""

    name: str
    number: int  # seeds the domain's generators; unique and never reused
    backdrop: str

    # Season: what people wear. Palettes are short, so that many people look alike.
    tops: tuple
    seconds: tuple  # patterns, caps and bags
    bottoms: tuple
    dye: float  # spread about a palette colour, levels of 255
    patterns: tuple  # weights of person.PATTERNS
    bags: tuple  # weights of person.BAGS
    long_sleeves: float
    coats: float
    shorts: float
    skirts: float  # of those with long hair

    # Crops.
    height: int  # pixels
    aspect: float  # height / width
    height_spread: float  # images vary by this fraction; 0 is one size for all, as in Market-1501
    margin: float  # ground and air about the body, fraction of its height
    misalign: float  # wandering of the body in its box, fraction of its height
    occlusion: float
    passers_by: float
    pitch: float  # radians that the cameras look down

    # Light, lens and sensor.
    cast: tuple  # gain of R, G, B
    gamma: float  # above 1 darkens
    contrast: float  # gain about mid grey
    brightness: float  # levels of 1 added
    saturation: float
    camera_spread: float  # how far the domain's cameras differ in gain and cast
    blur: float  # sigma in native pixels
    noise: float  # sigma in levels of 1
    quality: tuple  # JPEG quality, lowest and highest


STYLES = {
    style.name: style
    for style in (
        DomainStyle(
            name="street",
            number=1,
            backdrop="street",
            tops=(BLACK, NAVY, GREY, WHITE, RED, BLUE),
            seconds=(WHITE, GREY, BLACK, RED),
            bottoms=(DENIM, BLACK, GREY),
            dye=10,
            patterns=(0.34, 0.10, 0.08, 0.08, 0.16, 0.10, 0.14),
            bags=(0.5, 0.22, 0.12, 0.16),
            long_sleeves=0.7,
            coats=0.15,
            shorts=0.08,
            skirts=0.2,
            height=128,
            aspect=2.0,
            height_spread=0.0,
            margin=0.07,
            misalign=0.04,
            occlusion=0.18,
            passers_by=0.25,
            pitch=0.15,
            cast=(1.0, 1.0, 1.0),
            gamma=1.0,
            contrast=1.0,
            brightness=0.0,
            saturation=0.9,
            camera_spread=0.12,
            blur=0.5,
            noise=0.015,
            quality=(78, 92),
        ),
        DomainStyle(
            name="mall",
            number=2,
            backdrop="mall",
            tops=(WHITE, PINK, BEIGE, BLACK, SKY, RED),
            seconds=(BLACK, PINK, WHITE, BROWN),
            bottoms=(DENIM, BEIGE, BLACK, WHITE),
            dye=8,
            patterns=(0.34, 0.14, 0.06, 0.08, 0.14, 0.12, 0.12),
            bags=(0.35, 0.10, 0.33, 0.22),
            long_sleeves=0.4,
            coats=0.05,
            shorts=0.15,
            skirts=0.5,
            height=144,
            aspect=2.3,
            height_spread=0.15,
            margin=0.03,
            misalign=0.025,
            occlusion=0.22,
            passers_by=0.45,
            pitch=0.35,
            cast=(1.16, 1.02, 0.80),
            gamma=0.72,
            contrast=0.80,
            brightness=0.07,
            saturation=1.05,
            camera_spread=0.1,
            blur=0.4,
            noise=0.01,
            quality=(85, 95),
        ),
        DomainStyle(
            name="station",
            number=3,
            backdrop="station",
            tops=(BLACK, NAVY, GREY, BROWN, KHAKI),
            seconds=(GREY, RED, BLACK, BEIGE),
            bottoms=(BLACK, DENIM, GREY),
            dye=10,
            patterns=(0.46, 0.06, 0.05, 0.08, 0.08, 0.09, 0.18),
            bags=(0.35, 0.3, 0.15, 0.2),
            long_sleeves=1.0,
            coats=0.6,
            shorts=0.0,
            skirts=0.12,
            height=84,
            aspect=2.2,
            height_spread=0.2,
            margin=0.10,
            misalign=0.06,
            occlusion=0.25,
            passers_by=0.4,
            pitch=0.30,
            cast=(0.84, 1.04, 1.02),
            gamma=1.1,
            contrast=0.78,
            brightness=0.0,
            saturation=0.5,
            camera_spread=0.09,
            blur=0.6,
            noise=0.025,
            quality=(45, 68),
        ),
        DomainStyle(
            name="campus",
            number=4,
            backdrop="campus",
            tops=(WHITE, YELLOW, GREEN, SKY, ORANGE, PURPLE, GREY),
            seconds=(WHITE, NAVY, YELLOW, GREEN),
            bottoms=(DENIM, KHAKI, NAVY, WHITE),
            dye=12,
            patterns=(0.24, 0.14, 0.08, 0.14, 0.24, 0.10, 0.06),
            bags=(0.38, 0.42, 0.06, 0.14),
            long_sleeves=0.12,
            coats=0.0,
            shorts=0.5,
            skirts=0.4,
            height=128,
            aspect=2.0,
            height_spread=0.1,
            margin=0.12,
            misalign=0.07,
            occlusion=0.15,
            passers_by=0.15,
            pitch=0.06,
            cast=(1.02, 1.04, 0.94),
            gamma=0.9,
            contrast=1.35,
            brightness=0.02,
            saturation=1.35,
            camera_spread=0.08,
            blur=0.3,
            noise=0.01,
            quality=(82, 95),
        ),
        DomainStyle(
            name="night",
            number=5,
            backdrop="night",
            tops=(BLACK, GREY, NAVY, BEIGE, GREEN, RED),
            seconds=(WHITE, BLACK, YELLOW, GREY),
            bottoms=(DENIM, BLACK, BROWN),
            dye=9,
            patterns=(0.38, 0.08, 0.06, 0.10, 0.14, 0.10, 0.14),
            bags=(0.48, 0.26, 0.10, 0.16),
            long_sleeves=0.9,
            coats=0.3,
            shorts=0.05,
            skirts=0.15,
            height=112,
            aspect=2.0,
            height_spread=0.0,
            margin=0.06,
            misalign=0.05,
            occlusion=0.15,
            passers_by=0.2,
            pitch=0.22,
            cast=(1.10, 0.92, 0.72),
            gamma=1.3,
            contrast=0.85,
            brightness=0.0,
            saturation=0.8,
            camera_spread=0.18,
            blur=0.7,
            noise=0.05,
            quality=(60, 80),
        ),
    )
}


def develop(image, style, gain, rng):
    """What the sensors of `style` make of an (H, W, 3) uint8 RGB picture: another of the same shape.

    gain: the camera's own, of R, G and B. rng: a generator for the noise.
    """
    if style.blur > 0:
        image = cv2.GaussianBlur(image, (0, 0), style.blur)
    levels = (image / 255.0 * gain) ** style.gamma
    levels = (levels - 0.5) * style.contrast + 0.5 + style.brightness
    grey = levels.mean(axis=2, keepdims=True)
    levels = (grey + (levels - grey) * style.saturation) * style.cast
    levels += rng.normal(0, style.noise, levels.shape)
    return np.clip(np.rint(levels * 255), 0, 255).astype(np.uint8)
