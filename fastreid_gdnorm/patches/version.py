"""Patch of fast-reid's own version."""

from __future__ import annotations

from .._version import installed
from .tools import source_has


def patch_version() -> None:
    """``fastreid.__version__``, which every log shows, is 1.3 in release 1.4.0 too."""
    import fastreid

    if source_has(fastreid, '__version__ = "1.3"'):
        fastreid.__version__ = installed("fastreid")["fastreid"] or fastreid.__version__
