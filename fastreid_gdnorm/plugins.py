"""Other packages extend fast-reid through entry points in the group ``fastreid.plugins``."""

from __future__ import annotations

import importlib.metadata
import sys


def load_plugins() -> None:
    """Import every installed plugin; a plugin that fails is reported on stderr and skipped."""
    if sys.version_info >= (3, 10):
        found = importlib.metadata.entry_points(group="fastreid.plugins")
    else:
        found = importlib.metadata.entry_points().get("fastreid.plugins", ())
    for plugin in found:
        try:
            plugin.load()
        except Exception as error:
            print(f"fastreid: plugin {plugin.name} ({plugin.value}) was skipped: {error}", file=sys.stderr)
