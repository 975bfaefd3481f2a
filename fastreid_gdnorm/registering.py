"""Registration when it is first needed: before fast-reid, or a part of the plugin that needs it, is imported.

So ``import fastreid_gdnorm`` does not wait for torch and fast-reid, nor do ``fastreid --help`` and the commands that
need neither.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGE = __name__.rpartition(".")[0]
WITHOUT_FASTREID = frozenset(
    ("__main__", "_version", "cli", "commands", "console", "disk", "errors", "image_loading", "image_names")
    + ("inference", "layers", "plugins", "registering", "registration")
)


def register_when_needed() -> None:
    """Register at once if fast-reid is imported already, else when it is about to be."""
    if "fastreid" in sys.modules:
        importlib.import_module(f"{PACKAGE}.registration")
    else:
        sys.meta_path.insert(0, _Registering())


class _Registering(MetaPathFinder):
    """Registers before anything is imported that needs it; an error in this is raised whenever it is needed again."""

    def __init__(self) -> None:
        self._has_begun = False
        self._error: BaseException | None = None

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        package, _, rest = name.partition(".")
        if package not in ("fastreid", PACKAGE) or (package == PACKAGE and rest.split(".")[0] in WITHOUT_FASTREID):
            return None
        if self._error:
            raise self._error
        if self._has_begun:
            return None
        self._has_begun = True
        if package == "fastreid" and not importlib.util.find_spec("fastreid"):
            self._has_begun = False
            return None
        try:
            importlib.import_module(f"{PACKAGE}.registration")
        except BaseException as error:
            self._error = error
            raise
        return _given(sys.modules[name]) if name in sys.modules else None


def _given(module: ModuleType) -> ModuleSpec:
    """A spec of a module that is there already, by which the import that asks for it gets the module itself."""
    spec = copy.copy(module.__spec__)
    assert spec is not None and module.__spec__ is not None
    spec.loader = _Given(module.__spec__)
    module.__spec__ = spec  # importlib takes this one, where it finds that the module has come meanwhile
    return spec


class _Given(Loader):
    def __init__(self, spec: ModuleSpec) -> None:
        self._spec = spec

    def __getattr__(self, name: str) -> Any:
        return getattr(self._spec.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec
