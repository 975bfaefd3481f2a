"""Training data that knows its domains, and the rendered domains."""

from .domain_balanced_sampler import DomainBalancedIdentitySampler
from .domain_dataset import DomainDataset, read_sources

__all__ = ["DomainBalancedIdentitySampler", "DomainDataset", "read_sources"]
