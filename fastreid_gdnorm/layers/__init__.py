"""GDNorm: batch normalisation with one branch per source domain, and the paths through them."""

from .batch_paths import BranchStatisticsPath, DomainPath, PooledPath
from .convert import add_branch, convert_gdnorm, fold_gdnorm
from .following import follow, forward_along
from .gaussian_process import GaussianProcess
from .gdnorm import GDNorm, gdnorm_layers
from .instance_path import InstancePath
from .modes import evaluating
from .paths import MEANS, AffinePath, MeanPath, Path, PathOfEach, SampledPath, SourcePath
from .posterior_path import LayerPosterior, PosteriorPath, branches_agree
from .processes import (
    SynchronizedBatchNorm,
    everywhere,
    gather_rows,
    num_processes,
    of_first_process,
    synchronized_batch_norm,
)
from .running_statistics import copy_statistics, keeping_statistics, put_statistics, share_statistics, start_average
from .weighted_path import NearnessPath, WeightedPath

__all__ = [
    "AffinePath",
    "Path",
    "BranchStatisticsPath",
    "GDNorm",
    "GaussianProcess",
    "DomainPath",
    "SampledPath",
    "SynchronizedBatchNorm",
    "MeanPath",
    "MEANS",
    "NearnessPath",
    "PathOfEach",
    "PooledPath",
    "PosteriorPath",
    "LayerPosterior",
    "InstancePath",
    "SourcePath",
    "WeightedPath",
    "add_branch",
    "branches_agree",
    "evaluating",
    "everywhere",
    "follow",
    "forward_along",
    "gather_rows",
    "gdnorm_layers",
    "num_processes",
    "of_first_process",
    "synchronized_batch_norm",
    "copy_statistics",
    "keeping_statistics",
    "put_statistics",
    "share_statistics",
    "start_average",
    "convert_gdnorm",
    "fold_gdnorm",
]
