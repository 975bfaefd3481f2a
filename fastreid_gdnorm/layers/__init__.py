"""GDNorm: batch normalisation with one branch per source domain, and the paths through them."""

from .convert import convert_gdnorm, fold_gdnorm
from .follow import follow
from .gaussian_process import GaussianProcess
from .gdnorm import GDNorm
from .paths import DomainPath, MeanPath, SampledPath, SourcePath

__all__ = [
    "GDNorm",
    "GaussianProcess",
    "DomainPath",
    "SampledPath",
    "MeanPath",
    "SourcePath",
    "follow",
    "convert_gdnorm",
    "fold_gdnorm",
]
