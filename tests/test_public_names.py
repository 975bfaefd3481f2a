"""The public interface: a list of names and signatures under test, and the names that these had before."""

import inspect
from pathlib import Path

import pytest

import fastreid_gdnorm.layers
from fastreid_gdnorm.layers.distributed import all_ranks

SNAPSHOT = Path(__file__).with_name("public_names.txt")
OPERATORS = {"__call__", "__getitem__", "__iter__", "__len__"}


def without_types(function):
    """A function's parameters and defaults as text; annotations read differently from one Python to the next."""
    signature = inspect.signature(function)
    parameters = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


def members(cls):
    """The lines of a class: how it is made, its public methods and properties, those of its own bases included."""
    yield without_types(cls)
    own = [base for base in cls.__mro__ if base.__module__.startswith("fastreid_gdnorm.")]
    for name in sorted({name for base in own for name in vars(base)}):
        if name.startswith("_") and name not in OPERATORS:
            continue
        member = inspect.getattr_static(cls, name)
        if isinstance(member, property):
            yield f".{name}"
        elif isinstance(member, classmethod):
            yield f".{name}{without_types(getattr(cls, name))}"
        elif inspect.isfunction(member):
            yield f".{name}{without_types(member).replace('(self, ', '(').replace('(self)', '()')}"


def interface():
    for package in (fastreid_gdnorm, fastreid_gdnorm.layers):
        for name in sorted(package.__all__):
            value = getattr(package, name)
            lines = members(value) if inspect.isclass(value) else [without_types(value) if callable(value) else ""]
            yield from (f"{package.__name__}.{name}{line}" for line in lines)


def test_public_names_and_signatures_change_only_on_purpose():
    assert list(interface()) == SNAPSHOT.read_text().splitlines(), (
        "the public interface has changed. If that is intended, tell users in CHANGELOG.md, keep old names working for "
        "one release (fastreid_gdnorm/deprecation.py), and renew the list: python -m tests.test_public_names"
    )


def test_old_names_of_layers_still_work_and_warn():
    with pytest.warns(DeprecationWarning, match=r"layers\.everywhere is now .*\.layers\.distributed\.all_ranks"):
        assert fastreid_gdnorm.layers.everywhere is all_ranks
    with pytest.raises(AttributeError, match="no attribute nothing"):
        fastreid_gdnorm.layers.nothing  # noqa: B018


if __name__ == "__main__":
    SNAPSHOT.write_text("".join(f"{line}\n" for line in interface()))
