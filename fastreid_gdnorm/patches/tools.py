"""What the patches share."""

import inspect
import tarfile

import torch

from ..errors import UserError

ROOTS = []  # folders that relative paths of weights are looked for in, besides the working directory
PUBLISHED = set()  # names of weights that are checked by the hash in their name, besides fastreid's own


class Overlay:
    """``stock``, a module or an object, with other values for some of its names; a subclass may replace methods."""

    def __init__(self, stock, **names):
        self._stock = stock
        vars(self).update(names)

    def __getattr__(self, name):
        return getattr(self._stock, name)


def rebind(name, wrapper, *modules):
    """Set ``name`` in every one of the modules, which import it from each other, to ``wrapper``."""
    for module in modules:
        setattr(module, name, wrapper)


def source_has(function, text):
    """Whether a defect is there, as its text in the source of a function, class or module shows."""
    return text in inspect.getsource(function)


def load_weights(path, what, fix):
    """The tensors and plain values in a file that torch saved, on the CPU; code in the file is not run.

    Args:
        what: names the file in errors.
        fix: what to do if it cannot be loaded, for errors.

    Raises:
        UserError: it is damaged, holds more than weights, or is a tar archive.
    """
    try:
        is_tar = tarfile.is_tarfile(path)
    except OSError as error:
        raise UserError(f"{what} cannot be read ({error.strerror}): {fix}") from error
    if is_tar:  # from which torch < 2.6 may run code in spite of weights_only (CVE-2025-32434)
        raise UserError(f"{what} is a tar archive, torch's format until 2017, which may hold code: {fix}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises all kinds for a file that was cut
        lines = str(error).splitlines() or [type(error).__name__]
        reason = next((line.strip() for line in lines if "Unsupported" in line), lines[0])
        raise UserError(f"{what} is damaged or holds more than weights ({reason}): {fix}") from error
