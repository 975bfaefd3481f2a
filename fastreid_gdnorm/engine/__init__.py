"""Hooks of fast-reid's trainer."""

from .domain_precise_bn import DomainPreciseBN
from .population_statistics import complete_mean_path
from .reproducible import Reproducible

__all__ = ["DomainPreciseBN", "Reproducible", "complete_mean_path"]
