"""The benchmarks' paths: pages quote them as commands, and their README lists them."""

import re

from .conftest import REPOSITORY

BENCHMARKS = REPOSITORY / "projects/GDNorm/benchmarks"


def test_every_quoted_script_exists():
    texts = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "projects").rglob("*.md"), *BENCHMARKS.rglob("*.py")]
    quoted = {path for file in texts for path in re.findall(r"projects/GDNorm/benchmarks/\S*?\.py", file.read_text())}
    assert len(quoted) > 20
    assert not [path for path in sorted(quoted) if not (REPOSITORY / path).is_file()]


def test_the_readme_lists_every_script():
    scripts = {file.name for file in BENCHMARKS.glob("*/*.py") if "__name__ ==" in file.read_text()}
    listed = set(re.findall(r"^\| `(\w+\.py)`", (BENCHMARKS / "README.md").read_text(), re.MULTILINE))
    assert scripts == listed


def test_every_measured_page_names_its_commit():
    pages = sorted((REPOSITORY / "projects/GDNorm/results").glob("*.md"))
    without = [page.name for page in pages if not re.search(r"\d{4}-\d\d-\d\d at commit [0-9a-f]{7}", page.read_text())]
    assert without == ["real.md"], "which says that nobody has run it"
