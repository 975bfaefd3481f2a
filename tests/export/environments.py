"""Environments with packages that would not go together with those of the tests, or only for one test."""

import contextlib
import shutil
import subprocess
import sys
import sysconfig

import pytest


@contextlib.contextmanager
def environment(folder, packages):
    """The Python of a new environment in ``folder`` with these packages, which is deleted afterwards.

    Packages that are installed here are shared with it. The test is skipped if the packages cannot be installed.
    """
    python = folder / "env" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    (site / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    words = [python, "-m", "pip", "install", "-q", "--no-warn-conflicts", *packages]
    done = subprocess.run(words, capture_output=True, text=True)
    try:
        if done.returncode:
            pytest.skip(f"{packages[0]} cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
        yield python
    finally:
        shutil.rmtree(folder)
