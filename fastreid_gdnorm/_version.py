"""The versions of this package, which setuptools reads without importing the package, and of other packages."""

from __future__ import annotations

import importlib.metadata

__version__ = "0.1.0"


def installed(*packages: str) -> dict[str, str | None]:
    """The installed versions of packages; None for a package that is not installed."""
    return {package: _installed(package) for package in packages}


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
