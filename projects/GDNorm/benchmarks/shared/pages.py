"""What scripts that write results pages share."""

import datetime
import platform
from importlib.metadata import version
from pathlib import Path

import torch

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


def written_by(script, device="cpu"):
    """The first line of a page: which of the benchmarks wrote it, when and where."""
    command = f"python projects/GDNorm/benchmarks/{script}"
    return f"Written by `{command}` on {datetime.date.today()}, {machine(device)}."


def machine(device):
    """The machine and the versions, in words."""
    hardware = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "fastreid"))
    return f"{hardware}, Python {platform.python_version()}, {packages}"


def label(path, n):
    """What tables call a path that n images were given for."""
    return NAMES.get(path, path) + (f", n = {n}" if n else "")
