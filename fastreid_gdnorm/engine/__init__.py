"""Hooks of fast-reid's trainer."""

from .domain_precise_bn import DomainPreciseBN
from .reproducible import Reproducible

__all__ = ["DomainPreciseBN", "Reproducible"]
