"""The wheel and the sdist, built without network by the setuptools that is installed."""

import ast
import configparser
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
import yaml

import fastreid_gdnorm

ROOT = Path(__file__).resolve().parents[1]
CONFIG_FOLDERS = ("configs", "projects/GDNorm/configs")
WEIGHTS = (path.relative_to(ROOT).as_posix() for path in (ROOT / "projects/GDNorm/weights").iterdir())
RESULTS = ("projects/GDNorm/results/paper.csv", "projects/GDNorm/results/published.csv")
OTHERS = (*RESULTS, "projects/GDNorm/DATASETS.md", *WEIGHTS)
PACKAGED = ("fastreid_gdnorm", "configs", "docs", "projects", "tests", ".ci")

# Import names that are not their distribution's name.
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "faiss": "faiss-cpu",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
# fastreid is installed beside us, without its metadata (pyproject.toml says why). It uses the others only if they
# are installed: to build rank_cylib, in a block of ResNeSt, for fp16 by apex, and to report on the environment.
UNDECLARED = {"fastreid", "fastreid_gdnorm"}
UNDECLARED_BY_FASTREID = UNDECLARED | {"Cython", "apex", "detectron2", "distutils", "fvcore", "rfconv"}


def build(source, out, kind):
    """Runs setuptools' hook as pip does, in `source`; returns the file it made in `out`."""
    hook = f"from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})"
    done = subprocess.run([sys.executable, "-c", hook], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what the package is built from, so that nothing is left behind in the working tree."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in PACKAGED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    return zipfile.ZipFile(build(checkout, tmp_path_factory.mktemp("wheel"), "wheel"))


@pytest.fixture(scope="module")
def metadata(wheel):
    (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    return message_from_string(wheel.read(name).decode())


def requirements(metadata, extra=None):
    """The names required, in lower case: without an extra, or for that one only."""
    mark = re.compile(r"extra\s*==\s*['\"](\w+)['\"]")
    lines = [(line, mark.search(line)) for line in metadata.get_all("Requires-Dist")]
    chosen = [line for line, found in lines if (found and found.group(1)) == extra]
    return {re.match(r"[\w.-]+", line).group().lower() for line in chosen}


def configs(root):
    return {p.relative_to(root).as_posix(): p for f in CONFIG_FOLDERS for p in (root / f).rglob("*.yml")}


def test_wheel_carries_configs_weights_the_papers_numbers_and_the_guide_unchanged(wheel):
    prefix = "fastreid_gdnorm/_shipped/"
    shipped = {n[len(prefix) :]: wheel.read(n) for n in wheel.namelist() if n.startswith(prefix)}
    assert shipped == {
        name: path.read_bytes() for name, path in [*configs(ROOT).items(), *((o, ROOT / o) for o in OTHERS)]
    }
    assert any(name.startswith("configs/") for name in shipped)
    assert any(name.startswith("projects/GDNorm/configs/") for name in shipped)


def test_shipped_configs_find_their_bases(wheel, tmp_path):
    wheel.extractall(tmp_path)
    shipped = tmp_path / "fastreid_gdnorm" / "_shipped"
    based = 0
    for name, path in configs(shipped).items():
        base = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("_BASE_")
        if base is not None:
            based += 1
            found = Path(os.path.normpath(path.parent / base))
            assert found.is_file() and shipped in found.parents, f"{name}: _BASE_ {base} is not in the wheel"
    assert based


def test_wheel_holds_the_package_and_nothing_else(wheel):
    tops = {n.split("/")[0] for n in wheel.namelist()}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"fastreid_gdnorm"}
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "fastreid_gdnorm").rglob("*.py")}
    assert modules == {n for n in wheel.namelist() if n.endswith(".py")}
    assert "fastreid_gdnorm/py.typed" in wheel.namelist()
    assert any(n.endswith("/LICENSE") for n in wheel.namelist())


def test_sdist_builds_the_same_wheel(checkout, wheel, tmp_path):
    for name in ("sdist", "unpacked", "wheel"):
        (tmp_path / name).mkdir()
    with tarfile.open(build(checkout, tmp_path / "sdist", "sdist")) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(tmp_path / "unpacked", filter="data")
        else:
            archive.extractall(tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    again = zipfile.ZipFile(build(unpacked, tmp_path / "wheel", "wheel"))
    assert {i.filename: i.CRC for i in again.infolist()} == {i.filename: i.CRC for i in wheel.infolist()}
    for name in ("Makefile", "mkdocs.yml", "docs/method.md", "pyproject.toml", ".ci/run", "tests/test_packaging.py"):
        assert (unpacked / name).is_file(), f"{name} is missing from the sdist"


def test_a_config_renamed_since_the_last_build_does_not_travel(checkout, tmp_path):
    stale = checkout / "build" / "lib" / "fastreid_gdnorm" / "_shipped" / "configs" / "old-name.yml"
    stale.parent.mkdir(parents=True, exist_ok=True)
    stale.write_text("")
    names = zipfile.ZipFile(build(checkout, tmp_path, "wheel")).namelist()
    assert not [n for n in names if n.endswith("old-name.yml")]


def test_working_tree_holds_no_shipped_copy():
    assert not (ROOT / "fastreid_gdnorm" / "_shipped").exists(), "delete it: it hides configs/"


def test_entry_points(wheel):
    (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/entry_points.txt"))
    entries = configparser.ConfigParser()
    entries.read_string(wheel.read(name).decode())
    assert dict(entries["console_scripts"]) == {"fastreid": "fastreid_gdnorm.cli:main"}
    assert dict(entries["fastreid.plugins"]) == {"gdnorm": "fastreid_gdnorm"}
    from fastreid_gdnorm.cli import main

    assert callable(main)


def test_metadata(metadata):
    assert metadata["Requires-Python"] == ">=3.9"
    assert metadata["Version"] == fastreid_gdnorm.__version__
    assert "Apache-2.0" in (metadata["License"] or metadata["License-Expression"])
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == fastreid_gdnorm.__version__
    assert "fastreid" not in requirements(metadata), "pip could not resolve it; pyproject.toml says why"
    required = metadata.get_all("Requires-Dist")
    assert not [r for r in required if "==" in r.split(";")[0]]
    assert {"torch>=2.4", "torchvision>=0.19"} <= set(required), "older ones load checkpoints with the code in them"


def imported(package):
    """{top-level name: a file that imports it}, the third-party imports below a folder, lazy ones too."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found = [node.module]
            else:
                continue
            for name in found:
                names.setdefault(name.split(".")[0], path.relative_to(package).as_posix())
    return {name: where for name, where in names.items() if not in_standard_library(name)}


def in_standard_library(name):
    if sys.version_info >= (3, 10):
        return name in sys.stdlib_module_names
    spec = importlib.util.find_spec(name)
    return spec is not None and "-packages" not in (spec.origin or "")


@pytest.mark.parametrize("package", ["fastreid", "fastreid_gdnorm"])
def test_every_import_is_declared(package, metadata):
    folder = Path(importlib.util.find_spec(package).origin).parent
    declared = requirements(metadata)
    extras = (requirements(metadata, extra) for extra in ("onnx", "openvino", "parquet"))
    of_plugin = UNDECLARED.union(*extras)
    allowed = UNDECLARED_BY_FASTREID if package == "fastreid" else of_plugin
    missing = {
        name: where
        for name, where in imported(folder).items()
        if name not in allowed and DISTRIBUTIONS.get(name, name) not in declared
    }
    assert not missing, f"imported, but not among the dependencies in pyproject.toml: {missing}"
