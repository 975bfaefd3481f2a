"""Registers the plugin with fast-reid just before fast-reid is first used.

``import fastreid_gdnorm`` installs this hook and imports neither torch nor fast-reid, so ``fastreid --help`` is quick.
The first import of a module of fast-reid, or of one of the plugin's that needs fast-reid, first imports
``registration.py``. After that the hook does nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import threading
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from itertools import accumulate
from types import ModuleType
from typing import Any

from .import_locks import held, released

PACKAGE = __name__.rpartition(".")[0]
WITHOUT_FASTREID = frozenset(  # parts of the plugin that work without fast-reid
    "__main__ _version cli commands console consumers deprecation disk errors image_loading image_names image_tables "
    "import_hook import_locks inference interrupts layers own_files plugins runs.files site_cameras site_files".split()
)
MIXED_PACKAGES = frozenset({"runs"})  # only some of their modules, listed above, work without fast-reid


def register_when_needed() -> None:
    """Install the hook; if modules of fast-reid are loaded already, register now."""
    finder = next((finder for finder in sys.meta_path if isinstance(finder, _Finder)), None)
    if finder is None:
        finder = _Finder()
        sys.meta_path.insert(0, finder)
    if any(name.startswith("fastreid.") for name in sys.modules) and _has_torch():
        finder.register()


def _needs_registration(name: str) -> bool:
    """Whether the module ``name`` uses fast-reid; ``fastreid`` itself holds only a version."""
    package, _, part = name.partition(".")
    if package != PACKAGE:
        return package == "fastreid" and bool(part)
    works_without = {*accumulate(part.split("."), "{}.{}".format)} & WITHOUT_FASTREID or part in MIXED_PACKAGES
    return bool(part) and not works_without


def _has_torch() -> bool:
    """Without torch nothing can be registered, but parts of the plugin still work."""
    return "torch" in sys.modules or importlib.util.find_spec("torch") is not None


class _Finder(MetaPathFinder):
    """Finds modules with the finders after it, and registers the plugin before loading one that needs fast-reid."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done = False
        self._thread: int | None = None  # the thread that is registering
        self._held: contextlib.ExitStack  # the modules that it has loaded

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if self._done or not _needs_registration(name) or not _has_torch():
            return None
        later = sys.meta_path[sys.meta_path.index(self) + 1 :]
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in later)), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(self, spec.loader)
        return spec

    def register(self) -> None:
        """Import the registration, once. If that fails, unload what it has loaded: the next import tries again."""
        if self._thread == threading.get_ident():  # an import by the registration itself
            return
        with released(_needs_registration), self._lock:
            if self._done:  # another thread did it meanwhile
                return
            before = set(sys.modules)
            self._thread = threading.get_ident()
            try:
                with contextlib.ExitStack() as self._held:
                    try:
                        importlib.import_module(f"{PACKAGE}.registration")
                        self._done = True
                    except BaseException:
                        _unload([name for name in sys.modules if _needs_registration(name) and name not in before])
                        raise
            finally:
                self._thread = None

    def hold(self, module: ModuleType) -> None:
        """If this thread is registering, make other threads that import ``module`` wait until it is done."""
        if self._thread == threading.get_ident():
            self._held.enter_context(held(module))


class _Loader(Loader):
    """Registers the plugin, then loads the module with ``loader``, unless registering has already loaded it."""

    def __init__(self, finder: _Finder, loader: Any) -> None:
        self._finder, self._loader = finder, loader
        self._spec: ModuleSpec | None = None  # of the module that the registration has loaded

    def __getattr__(self, name: str) -> Any:  # get_source and others
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        self._finder.register()
        module: ModuleType | None = sys.modules.get(spec.name)
        if module is None:
            module = self._loader.create_module(spec)
        else:
            self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        if self._spec is not None:
            module.__spec__ = self._spec
            return
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._finder.hold(module)


def _unload(names: list[str]) -> None:
    for name in names:
        parent, _, child = name.rpartition(".")
        module = sys.modules.pop(name)
        if vars(sys.modules.get(parent, module)).get(child) is module:
            delattr(sys.modules[parent], child)
