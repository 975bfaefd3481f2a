"""Patch of fastreid's own version."""

from .._version import installed
from .tools import source_has


def patch_version():
    """``fastreid.__version__``, which every log has, is 1.3 in release 1.4.0 too: it is what is installed."""
    import fastreid

    if source_has(fastreid, '__version__ = "1.3"'):
        fastreid.__version__ = installed("fastreid")["fastreid"] or fastreid.__version__
