"""Old public names. They still work for one release, with a DeprecationWarning; CHANGELOG.md lists them."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def renamed(package: str, old_to_new: Mapping[str, str]) -> Callable[[str], Any]:
    """A ``__getattr__`` for a package that resolves the old names of its objects.

    Args:
        package: the package's ``__name__``.
        old_to_new: {old name: "module.name"}, with modules relative to ``package``.
    """

    def find(name: str) -> Any:
        if name not in old_to_new:
            raise AttributeError(f"module {package} has no attribute {name}")
        module, _, new = old_to_new[name].rpartition(".")
        warnings.warn(f"{package}.{name} is now {package}.{module}.{new}", DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(f"{package}.{module}"), new)

    return find


def renamed_arguments(**old_to_new: str) -> Callable[[F], F]:
    """Let the decorated function accept keyword arguments by their old names too."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for old, new in old_to_new.items():
                if old in kwargs:
                    warnings.warn(f"{function.__name__}: {old} is now {new}", DeprecationWarning, stacklevel=2)
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate
