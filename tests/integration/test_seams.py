"""The order in which repairs and additions wrap fast-reid's methods."""

import inspect
import sys

from fastreid_gdnorm import integration, patches

PACKAGES = {module.__path__[0]: module.__name__.rpartition(".")[2] for module in (integration, patches)}


def wrappers():
    """{name of a function or method of fast-reid: the plugin's packages that wrap it, the outermost first}."""
    found = {}
    for module in [module for name, module in sys.modules.items() if name.split(".")[0] == "fastreid"]:
        for owner in (module, *filter(inspect.isclass, vars(module).values())):
            for name, value in vars(owner).items():
                packages = []
                while value := getattr(value, "__func__", value):
                    file = getattr(getattr(value, "__code__", None), "co_filename", "")
                    packages += [package for path, package in PACKAGES.items() if file.startswith(path)]
                    value = getattr(value, "__wrapped__", None)
                found[name if owner is module else f"{owner.__name__}.{name}"] = packages
    return found


def test_each_package_wraps_a_method_once_and_what_both_wrap_is_written_down():
    found = wrappers()
    assert {tuple(packages) for packages in found.values()} == {
        (),
        ("patches",),
        ("integration",),
        ("integration", "patches"),
    }
    both = [name for name, packages in found.items() if len(packages) == 2]
    assert sorted(both) == sorted(
        line[2:-2] for line in integration.__doc__.splitlines() if line.startswith("``") and line.endswith("``")
    )
