"""What the patches share."""

from __future__ import annotations

import inspect
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ..errors import UserError

ROOTS: list[Path] = []  # folders in which relative paths of weights are found, besides the working directory
PUBLISHED: set[str] = set()  # names of files whose hash is checked, besides the files that fast-reid downloads


class Overlay:
    """``stock``, a module or an object, with other values for some names; subclasses can override methods."""

    def __init__(self, stock: Any, **names: Any) -> None:
        self._stock = stock
        vars(self).update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stock, name)


def rebind(name: str, wrapper: Any, *modules: ModuleType) -> None:
    """Set ``name`` to ``wrapper`` in every one of the modules, because they import it from each other."""
    for module in modules:
        setattr(module, name, wrapper)


def source_has(function: Any, text: str) -> bool:
    """Whether the source of a function, class or module contains ``text``, a line of the defect."""
    return text in inspect.getsource(function)


def load_weights(path: str, what: str, fix: str) -> Any:
    """The tensors and plain values in a file that torch saved, on the CPU. No code in the file is run.

    Args:
        what: the file's description in errors.
        fix: what to do if it cannot be loaded, for errors.

    Raises:
        UserError: the file is damaged, holds more than weights, or is a tar archive.
    """
    try:
        is_tar = tarfile.is_tarfile(path)
    except OSError as error:
        raise UserError(f"{what} cannot be read ({error.strerror}): {fix}") from error
    if is_tar:  # torch < 2.6 may run code in a tar archive even with weights_only (CVE-2025-32434)
        raise UserError(f"{what} is a tar archive, torch's format until 2017, which may hold code: {fix}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a truncated file
        lines = str(error).splitlines() or [type(error).__name__]
        reason = next((line.strip() for line in lines if "Unsupported" in line), lines[0])
        raise UserError(f"{what} is damaged or holds more than weights ({reason}): {fix}") from error
