"""Training data that knows its domains, readers of the public data sets, and the rendered domains."""

from .domain_balanced_sampler import DomainBalancedIdentitySampler
from .domain_dataset import DomainDataset
from .read import is_read_by, read, read_sources

__all__ = ["DomainBalancedIdentitySampler", "DomainDataset", "is_read_by", "read", "read_sources"]
