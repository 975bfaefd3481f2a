"""People rendered procedurally into real JPEG files: the built-in data."""

from .dataset import RENDERED_DOMAINS, drawn_domain, drawn_domain_of
from .draw import draw_domain, draw_people
from .drawn_style import draw_style
from .plan import Plan
from .styles import STYLES, DomainStyle

__all__ = [
    "RENDERED_DOMAINS",
    "STYLES",
    "DomainStyle",
    "Plan",
    "draw_domain",
    "draw_people",
    "draw_style",
    "drawn_domain",
    "drawn_domain_of",
]
