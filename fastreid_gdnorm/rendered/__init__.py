"""People rendered procedurally into real JPEG files: the built-in data."""

from ..deprecation import renamed
from .dataset import RENDERED_DOMAINS, drawn_domain, drawn_domain_of
from .drawn_style import draw_style
from .plan import Plan
from .render import render_domain, render_people
from .styles import STYLES, DomainStyle

__all__ = [
    "RENDERED_DOMAINS",
    "STYLES",
    "DomainStyle",
    "Plan",
    "render_domain",
    "render_people",
    "draw_style",
    "drawn_domain",
    "drawn_domain_of",
]

__getattr__ = renamed(__name__, {"draw_domain": "render.render_domain", "draw_people": "render.render_people"})
