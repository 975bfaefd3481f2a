"""Imports run downwards only (the package's layout), read from the sources."""

import ast
from pathlib import Path

import fastreid_gdnorm

PACKAGE = Path(fastreid_gdnorm.__file__).parent

# a part may import the parts before it; parts in one tuple do not import each other
LAYERS = [
    ("errors", "layers", "plugins"),
    ("mends",),
    ("compat", "config", "data", "registries"),
    ("modeling",),
    ("engine", "evaluation"),
    ("toolbox", "report", "comparison"),
    ("protocol", "datasets", "paths", "export"),
    ("demo",),
    ("cli",),
    ("__main__",),
]
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}


def part_of(path):
    return path.relative_to(PACKAGE).parts[0].replace(".py", "")


def imported_parts(path):
    """The package's parts that a file imports, and whether it imports the root itself."""
    package = ["fastreid_gdnorm", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = [*base, *(node.module.split(".") if node.module else [])]
            names = [[*module, alias.name] for alias in node.names] if len(module) == 1 else [module]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        else:
            continue
        yield from (name[1] if len(name) > 1 else "root" for name in names if name[0] == "fastreid_gdnorm")


def test_every_part_imports_only_what_is_below_it():
    sources = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]
    assert {part_of(path) for path in sources} == set(LEVEL)
    for path in sources:
        own = part_of(path)
        for other in imported_parts(path):
            assert other == own or LEVEL.get(other, 99) < LEVEL[own], f"{path.relative_to(PACKAGE)} imports {other}"


def test_layers_import_torch_only():
    for path in (PACKAGE / "layers").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            else:
                continue
            assert {module.split(".")[0] for module in modules} <= {"torch", "copy", "contextlib", "collections"}, path
