"""GDNorm as a backbone builder and as meta-architectures."""

from .backbone import build_gdnorm_backbone
from .branched import branched
from .meta_arch import GDNormBaseline, GDNormMGN, GDNormTraining, is_gdnorm

__all__ = ["GDNormBaseline", "GDNormMGN", "GDNormTraining", "branched", "build_gdnorm_backbone", "is_gdnorm"]
