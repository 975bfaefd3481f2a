"""This package's version, once: setuptools reads it from here without importing the package. And others' versions."""

from __future__ import annotations

import importlib.metadata

__version__ = "0.1.0"


def installed(*packages: str) -> dict[str, str | None]:
    """The versions of packages as pip knows them; None for one that it does not know."""
    return {package: _installed(package) for package in packages}


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
