"""GDNorm: batch normalisation with one branch per source domain, and the paths through them."""

from ..deprecation import renamed
from .batch_paths import BranchStatisticsPath, DomainPath, PooledPath
from .convert import add_branch, convert_gdnorm, fold_gdnorm
from .following import follow, forward_along
from .gaussian_process import GaussianProcess
from .gdnorm import GDNorm, gdnorm_layers
from .instance_path import InstancePath
from .paths import AffinePath, MeanPath, Path, PathOfEach, SampledPath, SourcePath
from .posterior_path import PosteriorPath
from .weighted_path import NearnessPath, WeightedPath

__all__ = [
    # the layer, and models with it
    "GDNorm",
    "convert_gdnorm",
    "add_branch",
    "fold_gdnorm",
    "gdnorm_layers",
    "GaussianProcess",
    # following a path
    "follow",
    "forward_along",
    # paths for training
    "DomainPath",
    "SampledPath",
    # paths for testing
    "MeanPath",
    "SourcePath",
    "PathOfEach",
    "WeightedPath",
    "NearnessPath",
    "InstancePath",
    "PosteriorPath",
    # paths that measure statistics
    "PooledPath",
    "BranchStatisticsPath",
    # base classes of paths
    "Path",
    "AffinePath",
]

__getattr__ = renamed(
    __name__,
    {
        "MEANS": "paths.MEANS",
        "LayerPosterior": "posterior_path.LayerPosterior",
        "SynchronizedBatchNorm": "distributed.SynchronizedBatchNorm",
        "branches_agree": "posterior_path.branches_agree",
        "copy_statistics": "running_statistics.copy_statistics",
        "evaluating": "eval_mode.evaluating",
        "everywhere": "distributed.all_ranks",
        "gather_rows": "distributed.gather_rows",
        "keeping_statistics": "running_statistics.keeping_statistics",
        "num_processes": "distributed.num_processes",
        "of_first_process": "distributed.broadcast_from_rank0",
        "put_statistics": "running_statistics.restore_statistics",
        "share_statistics": "running_statistics.share_statistics",
        "start_average": "running_statistics.start_average",
        "synchronized_batch_norm": "distributed.synchronized_batch_norm",
    },
)
