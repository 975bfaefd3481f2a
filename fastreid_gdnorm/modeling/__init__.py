"""GDNorm as a backbone builder and as meta-architectures."""

from .backbone import build_gdnorm_backbone
from .meta_arch import GDNormBaseline, GDNormMGN, GDNormTraining, is_gdnorm

__all__ = ["GDNormBaseline", "GDNormMGN", "GDNormTraining", "build_gdnorm_backbone", "is_gdnorm"]
