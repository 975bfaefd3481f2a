"""Importing the plugin: its error without fast-reid, no names left behind, and the list of patches."""

import ast
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from fastreid_gdnorm import patches
from fastreid_gdnorm.patches import apply_patches

from ..conftest import REPOSITORY

FILES = sorted(Path(patches.__file__).parent.glob("*.py"))


def python(code, *arguments, cwd=None):
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    words = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(words, env=env, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_imports_work_and_leave_no_removed_names_behind(tmp_path):
    done = python(
        "import collections, sys; had_mapping = hasattr(collections, 'Mapping')\n"
        "import fastreid_gdnorm, fastreid_gdnorm as again\n"
        "import fastreid.engine, fastreid.data.build, fastreid.evaluation.testing\n"
        "assert hasattr(collections, 'Mapping') == had_mapping and 'torch._six' not in sys.modules",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


def test_without_fastreid_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastreid", None)
    with pytest.raises(
        ImportError, match=r"^fastreid_gdnorm needs fast-reid: pip install --no-deps fastreid==1\.4\.0$"
    ):
        apply_patches()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_patch_imports_fastreid_at_the_top(file):
    """Without fast-reid, the import must get as far as its own error; with it, the removed names must exist first."""
    outermost = ast.parse(file.read_text()).body
    imported = [alias.name for node in outermost if isinstance(node, ast.Import) for alias in node.names]
    imported += [node.module or "" for node in outermost if isinstance(node, ast.ImportFrom) and not node.level]
    assert "fastreid" not in {name.split(".")[0] for name in imported}


def test_every_patch_is_in_the_list_and_describes_the_defect_in_one_line():
    modules = [import_module(f"fastreid_gdnorm.patches.{file.stem}") for file in FILES if file.stem != "__init__"]
    found = {function for module in modules for name, function in vars(module).items() if name.startswith("patch_")}
    assert found == set(patches.PATCHES)
    assert all(function.__doc__ and "\n" not in function.__doc__ for function in found)
