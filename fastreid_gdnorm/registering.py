"""Registration when it is first needed: before fast-reid, or a part of the plugin that needs it, is imported.

So ``import fastreid_gdnorm`` does not wait for torch and fast-reid, nor do ``fastreid --help`` and the commands that
need neither.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGE = __name__.rpartition(".")[0]
WITHOUT_FASTREID = frozenset(
    ("__main__", "_version", "cli", "commands", "console", "disk", "errors", "image_names", "inference", "layers")
    + ("plugins", "registering", "registration")
)


def register_when_needed() -> None:
    """Register at once if fast-reid is imported already, else when it is about to be."""
    if "fastreid" in sys.modules:
        importlib.import_module(f"{PACKAGE}.registration")
    else:
        sys.meta_path.insert(0, _Registering())


class _Registering(MetaPathFinder, Loader):
    """Registers before anything is imported that needs it; by then that may be imported, and is given as it is."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        package, _, rest = name.partition(".")
        if package not in ("fastreid", PACKAGE) or (package == PACKAGE and rest.split(".")[0] in WITHOUT_FASTREID):
            return None
        sys.meta_path.remove(self)
        try:
            importlib.import_module(f"{PACKAGE}.registration")
        except BaseException:
            sys.meta_path.insert(0, self)
            raise
        if name not in sys.modules:
            return importlib.util.find_spec(name)
        self._spec = sys.modules[name].__spec__
        return ModuleSpec(name, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec
