"""Training data with domains, its sampler, and readers of the public data sets."""

from .by_name import datasets_root, is_read_by, read, read_sources
from .color_jitter import ColorJitter
from .domain_balanced_sampler import DomainBalancedIdentitySampler
from .domain_dataset import DomainDataset
from .identities import number_test_set, numbered

__all__ = [
    "ColorJitter",
    "DomainBalancedIdentitySampler",
    "DomainDataset",
    "datasets_root",
    "is_read_by",
    "number_test_set",
    "numbered",
    "read",
    "read_sources",
]
