"""People drawn procedurally onto real JPEG files: the embedded default input."""

from .dataset import RENDERED_DOMAINS
from .domain import DomainStyle
from .draw import draw_domain
from .shots import Size
from .styles import STYLES

__all__ = ["RENDERED_DOMAINS", "STYLES", "DomainStyle", "Size", "draw_domain"]
