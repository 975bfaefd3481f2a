"""GDNorm: batch normalisation with one branch per source domain, and the paths through them."""

from .batch_paths import BranchStatisticsPath, DomainPath, PooledPath
from .convert import convert_gdnorm, fold_gdnorm
from .following import follow
from .gaussian_process import GaussianProcess
from .gdnorm import GDNorm, gdnorm_layers
from .modes import evaluating
from .paths import MEANS, AffinePath, MeanPath, Path, SampledPath, SourcePath
from .running_statistics import copy_statistics, keeping_statistics, put_statistics, start_average

__all__ = [
    "AffinePath",
    "Path",
    "BranchStatisticsPath",
    "GDNorm",
    "GaussianProcess",
    "DomainPath",
    "SampledPath",
    "MeanPath",
    "MEANS",
    "PooledPath",
    "SourcePath",
    "evaluating",
    "follow",
    "gdnorm_layers",
    "copy_statistics",
    "keeping_statistics",
    "put_statistics",
    "start_average",
    "convert_gdnorm",
    "fold_gdnorm",
]
