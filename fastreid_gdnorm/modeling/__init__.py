"""GDNorm as a backbone builder and as meta-architectures."""

from .backbone import build_gdnorm_backbone
from .meta_arch import GDNormBaseline, GDNormMGN

__all__ = ["GDNormBaseline", "GDNormMGN", "build_gdnorm_backbone"]
