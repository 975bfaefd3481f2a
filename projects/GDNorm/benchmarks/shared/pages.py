"""What scripts that write results pages share."""

import datetime
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch
from tabulate import tabulate

RESULTS = Path(__file__).resolve().parents[2] / "results"
NAMES = {
    "as trained": "as trained, without branches",
    "mean:affine": "mean path, MEAN_OF affine",
    "mean:statistics": "mean path, MEAN_OF statistics",
    "mean:path": "mean path, MEAN_OF path",
    "raw": "the images' own statistics",
    "by camera": "posterior of each camera",
}


def section(file, title):
    """The hand-written text under "## title" of a page; "" if there is no such page or section."""
    _, _, after = (file.read_text() if file.is_file() else "").partition(f"## {title}\n\n")
    return after.partition("\n\n## ")[0].strip()


def write_above_reading(file, text):
    """Write ``text`` to ``file`` above its hand-written section "## Reading", which stays."""
    _, heading, reading = (file.read_text() if file.is_file() else "").partition("\n## Reading\n")
    file.write_text(text + heading + reading)


def page_of(title, introduction, results):
    """A page about ``results``, each with a title, what ran when and where (``by``), and rows."""
    sections = [f"## {one['title']}\n\n{one['by']}.\n\n{table_of(one['rows'])}" for one in results]
    return "\n\n".join([f"# {title}", introduction, *sections]) + "\n"


def table_of(rows):
    return tabulate(rows, headers="keys", tablefmt="github")


def written_by(script, device="cpu"):
    """The first line of a page: the command that wrote it, when, at which commit and where."""
    return f"Written by `python projects/GDNorm/benchmarks/{script}` on {measured(device)}."


def measured(device):
    """Date, commit, machine and versions of a measurement, in words."""
    return f"{datetime.date.today()} at commit {commit()}, {machine(device)}"


def commit():
    """The repository's commit; "unknown" outside a clone."""
    found = subprocess.run("git rev-parse --short HEAD", shell=True, cwd=RESULTS, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def machine(device):
    """The machine and the versions, in words."""
    threads = torch.get_num_threads()
    on_cpu = f"CPU, {threads} thread{'s' if threads > 1 else ''}"
    hardware = torch.cuda.get_device_name() if device == "cuda" else on_cpu
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "fastreid"))
    return f"{hardware}, Python {platform.python_version()}, {packages}"


def label(path, n):
    """What tables call a path that n images were given for."""
    return NAMES.get(path, path) + (f", n = {n}" if n else "")
