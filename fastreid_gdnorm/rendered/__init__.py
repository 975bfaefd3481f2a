"""People drawn procedurally onto real JPEG files: the embedded default input."""

from .dataset import RENDERED_DOMAINS
from .domain import STYLES, DomainStyle
from .draw import draw_domain

__all__ = ["RENDERED_DOMAINS", "STYLES", "DomainStyle", "draw_domain"]
