"""The quick tests on the oldest and on the newest of what the package says that it runs on: ``make matrix``.

A corner whose Python is not here is named and left out. Words after ``--`` are pytest's.
"""

import os
import shutil
import subprocess

import nox

nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True  # a torch for CUDA is gigabytes

if shutil.which("pyenv"):  # whose python3.9 starts nothing unless that version is among the chosen ones
    versions = [
        subprocess.check_output(["pyenv", *words], text=True) for words in (["version-name"], ["versions", "--bare"])
    ]
    os.environ["PYENV_VERSION"] = ":".join("".join(versions).split())


@nox.session
@nox.parametrize(
    "python, pins",
    [
        nox.param("3.9", ["torch==2.4.*", "torchvision==0.19.*", "numpy<2"], id="oldest"),
        nox.param("3.13", ["torch", "torchvision", "numpy>=2"], id="newest"),
    ],
)
def corner(session, pins):
    """As ``make setup`` installs, with the tests' tools alone: some of the others have left the oldest Python."""
    session.install("pip>=23.1")
    session.install("-e", ".[test]", *pins)
    session.install("--no-deps", "fastreid==1.4.0")
    session.run("python", "-c", "import torch, torchvision.ops")
    session.run("python", "-m", "pytest", *session.posargs)
