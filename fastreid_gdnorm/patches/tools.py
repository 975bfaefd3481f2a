"""What the patches share."""

import inspect


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
