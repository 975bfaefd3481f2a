"""Other packages join in by an entry point of the group ``fastreid.plugins``."""

from __future__ import annotations

import importlib.metadata
import sys


def load_plugins() -> None:
    """Import every plugin that is installed; one that fails is named on stderr and left out."""
    if sys.version_info >= (3, 10):
        found = importlib.metadata.entry_points(group="fastreid.plugins")
    else:
        found = importlib.metadata.entry_points().get("fastreid.plugins", ())
    for plugin in found:
        try:
            plugin.load()
        except Exception as error:
            print(f"fastreid: plugin {plugin.name} ({plugin.value}) is left out: {error}", file=sys.stderr)
