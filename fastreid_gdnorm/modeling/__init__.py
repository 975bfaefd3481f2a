"""GDNorm as a backbone builder and as meta-architectures of fast-reid."""

from .backbone import build_gdnorm_backbone
from .counterparts import branched
from .distiller import GDNormDistiller
from .meta_arch import GDNormBaseline, GDNormMGN, GDNormTraining, is_gdnorm

__all__ = [
    "GDNormBaseline",
    "GDNormDistiller",
    "GDNormMGN",
    "GDNormTraining",
    "branched",
    "build_gdnorm_backbone",
    "is_gdnorm",
]
