"""What the mends share."""

import inspect


def rebind(name, wrapper, *modules):
    """Set ``name`` in every one of the modules, which import it from each other, to ``wrapper``."""
    for module in modules:
        setattr(module, name, wrapper)


def source_has(function, text):
    """Whether a defect is there, as its text in the source of a function, class or module shows."""
    return text in inspect.getsource(function)
