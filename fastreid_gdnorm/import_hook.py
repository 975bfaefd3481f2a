"""Registration when it is first needed: before anything of fast-reid's, or of the plugin that needs it, is loaded.

So ``import fastreid_gdnorm`` does not wait for torch and fast-reid, nor do ``fastreid --help`` and the commands that
need neither.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGE = __name__.rpartition(".")[0]
WITHOUT_FASTREID = frozenset(
    "__main__ _version cli commands console deprecation disk errors image_loading image_names import_hook inference "
    "interrupts layers own_files plugins".split()
)


def register_when_needed() -> None:
    """Register before modules of fast-reid's are loaded; at once if some are already."""
    finder = next((finder for finder in sys.meta_path if isinstance(finder, _Registering)), None)
    if finder is None:
        finder = _Registering()
        sys.meta_path.insert(0, finder)
    if any(name.startswith("fastreid.") for name in sys.modules) and _can_register():
        finder.register()


def _needs_registration(name: str) -> bool:
    """Whether the module ``name`` is loaded only once all is registered; ``fastreid`` itself has nothing to patch."""
    package, _, part = name.partition(".")
    return bool(part) and (package == "fastreid" or (package == PACKAGE and part.split(".")[0] not in WITHOUT_FASTREID))


def _can_register() -> bool:
    """Whether there is torch, without which some parts of the plugin do all the same."""
    return "torch" in sys.modules or importlib.util.find_spec("torch") is not None


class _Registering(MetaPathFinder):
    """Finds modules as the finders after it do, and registers when one of them is loaded; after that it finds none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done = False
        self._thread: int | None = None  # the one that registers
        self._modules: contextlib.ExitStack  # which that has loaded

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if self._done or not _needs_registration(name) or not _can_register():
            return None
        after = sys.meta_path[sys.meta_path.index(self) + 1 :]
        found = (finder.find_spec(name, path, target) for finder in after)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _AfterRegistration(self, spec.loader)
        return spec

    def register(self) -> None:
        """Register, once; after an error all is as before, and the next import tries again."""
        if self._thread == threading.get_ident():  # what registration itself imports
            return
        with _without_module_locks(), self._lock:
            if self._done:  # by another thread meanwhile
                return
            before = set(sys.modules)
            self._thread = threading.get_ident()
            try:
                with contextlib.ExitStack() as self._modules:
                    try:
                        importlib.import_module(f"{PACKAGE}.registration")
                        self._done = True
                    except BaseException:
                        _forget([name for name in sys.modules if _needs_registration(name) and name not in before])
                        raise
            finally:
                self._thread = None

    def keep(self, module: ModuleType) -> None:
        """While this thread registers, let others that import ``module`` wait, as if it was still being loaded."""
        if self._thread == threading.get_ident():
            self._modules.enter_context(_being_loaded(module))


class _AfterRegistration(Loader):
    """Registers, then gives the module that this has loaded, or loads it by ``loader``."""

    def __init__(self, finder: _Registering, loader: Any) -> None:
        self._finder, self._loader = finder, loader
        self._loaded: ModuleSpec | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        self._finder.register()
        module = sys.modules.get(spec.name)
        if module is not None:
            self._loaded = module.__spec__
            return module
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        if self._loaded is not None:
            module.__spec__ = self._loaded
            return
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._finder.keep(module)


def _forget(names: list[str]) -> None:
    """Unload modules, so that the next import loads them anew."""
    for name in names:
        parent, _, child = name.rpartition(".")
        module = sys.modules.pop(name)
        if vars(sys.modules.get(parent, module)).get(child) is module:
            delattr(sys.modules[parent], child)


# importlib has a lock for each module, and no public way for two threads that import at once to let each other by.
_bootstrap: Any = getattr(importlib, "_bootstrap", None)


@contextlib.contextmanager
def _without_module_locks() -> Iterator[None]:
    """Within it, this thread lets go of the modules that it is about to load: another may have to load them."""
    all_locks = getattr(_bootstrap, "_module_locks", {})
    ours = [lock for reference in list(all_locks.values()) if (lock := reference()) and _needs_registration(lock.name)]
    thread, held = threading.get_ident(), []
    for lock in sorted(ours, key=lambda lock: len(lock.name), reverse=True):  # as they were taken: children first
        while getattr(lock, "owner", None) == thread:
            lock.release()
            held.append(lock)
    try:
        yield
    finally:
        for lock in held:
            lock.acquire()


@contextlib.contextmanager
def _being_loaded(module: ModuleType) -> Iterator[None]:
    """Within it, other threads that import ``module`` wait."""
    spec = module.__spec__
    waiting: Any = copy.copy(spec)
    waiting._initializing = True  # by which importlib asks for the module's lock
    with _bootstrap._ModuleLockManager(module.__name__) if _bootstrap else contextlib.nullcontext():
        module.__spec__ = waiting
        try:
            yield
        finally:
            module.__spec__ = spec
