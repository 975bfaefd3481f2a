"""Other packages join in by an entry point of the group ``fastreid.plugins``."""

from __future__ import annotations

import importlib.metadata
import sys


def load_plugins() -> None:
    """Import every plugin that is installed; one that fails is named on stderr and left out."""
    found = importlib.metadata.entry_points()
    # Python 3.9 gives a dict
    group = found.select(group="fastreid.plugins") if hasattr(found, "select") else found.get("fastreid.plugins", ())
    for plugin in group:
        try:
            plugin.load()
        except Exception as error:
            print(f"fastreid: plugin {plugin.name} ({plugin.value}) is left out: {error}", file=sys.stderr)
