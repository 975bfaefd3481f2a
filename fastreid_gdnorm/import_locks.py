"""Makes threads that import fast-reid at the same time wait for the registration.

An import holds the lock of its module. The registration imports all of fast-reid, so it would wait forever for a thread
that holds such a lock and itself waits for the registration. Python has no public way to release the lock, so the two
functions here use private names of importlib. Nothing else in the plugin does.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

_bootstrap: Any = getattr(importlib, "_bootstrap", None)


@contextlib.contextmanager
def released(matches: Callable[[str], bool]) -> Iterator[None]:
    """Inside the block, this thread does not hold the locks of modules whose name ``matches``."""
    all_locks = getattr(_bootstrap, "_module_locks", {})
    locks = [lock for reference in list(all_locks.values()) if (lock := reference()) and matches(lock.name)]
    locks.sort(key=lambda lock: len(lock.name), reverse=True)  # an import locks the child before its parent
    thread, taken = threading.get_ident(), []
    for lock in locks:
        while getattr(lock, "owner", None) == thread:
            lock.release()
            taken.append(lock)
    try:
        yield
    finally:
        for lock in taken:
            lock.acquire()


@contextlib.contextmanager
def held(module: ModuleType) -> Iterator[None]:
    """Inside the block, other threads that import ``module`` wait, as if it were still being loaded."""
    spec = module.__spec__
    loading: Any = copy.copy(spec)
    loading._initializing = True  # makes importlib ask for the module's lock
    with _bootstrap._ModuleLockManager(module.__name__) if _bootstrap else contextlib.nullcontext():
        module.__spec__ = loading
        try:
            yield
        finally:
            module.__spec__ = spec
