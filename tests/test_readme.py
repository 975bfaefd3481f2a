"""README's section on your own images: someone with a model and a folder of crops follows it line by line."""

import contextlib
import os
import re
import shlex
import shutil

import pytest

from .conftest import REPOSITORY

SECTION = re.compile(r"^## Your own images\n(.*?)(?=^## )", re.MULTILINE | re.DOTALL)


@pytest.fixture
def newcomer(toy_run, datasets, tmp_path):
    """A folder with a model in logs/mine, crops, queries and labelled people."""
    people = datasets / "RenderedStation"
    shutil.copytree(toy_run, tmp_path / "logs" / "mine")
    shutil.copytree(people / "bounding_box_test", tmp_path / "crops")
    (tmp_path / "queries").mkdir()
    for number, query in enumerate(sorted((people / "query").iterdir())[:3]):
        shutil.copy(query, tmp_path / "queries" / f"{number}.jpg")
    others = sorted(path for part in ("bounding_box_test", "query") for path in datasets.glob(f"*/{part}/0*.jpg"))
    rows = [f"{path},{path.name[6]},{path.parts[-3]}-{path.name[:4]}" for path in others if path.name[:4] != "0000"]
    (tmp_path / "labelled.csv").write_text("\n".join(["path,camera,identity", *rows]))
    return tmp_path


@contextlib.contextmanager
def inside(folder):
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def test_every_line_of_the_section_on_your_own_images_works(newcomer, fastreid_here):
    (section,) = SECTION.findall((REPOSITORY / "README.md").read_text())
    assert len(section.strip().splitlines()) <= 25
    commands = re.findall(r"^    fastreid (.*)$", section, re.MULTILINE)
    (python,) = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert len(commands) == 5
    with inside(newcomer):
        for command in commands:
            done = fastreid_here(*shlex.split(command))
            assert done.returncode == 0, done.stderr
        known = {}
        exec(python, known)
    assert known["features"].shape == (2, 1280) and len(known["matches"][0]) == 5
    page = (newcomer / "found.html").read_text()
    assert page.count('class="query"') == 3 and "called the same person" in page
    assert (newcomer / "features.npz").is_file()
