"""What differs between data sets: people's clothes, crops, light and cameras."""

from dataclasses import dataclass


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
