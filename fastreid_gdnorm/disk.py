"""Files that are whole or not there, folders that one process at a time works in, and digests."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from .errors import UserError

LOCK = ".lock"


def digest(file: str | Path) -> str:
    """The SHA-256 of a file's contents."""
    sha256 = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(2**20):
            sha256.update(block)
    return sha256.hexdigest()


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of ``file`` in the end; if killed before, ``file`` is as it was."""
    part = file.with_name(f"{file.name}.part")
    yield part
    part.replace(file)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[tuple[int, ...]]:
    """Keep other processes that ask for it out of ``folder``.

    Gives the file descriptors for a child to hold the lock as long as it lives, also if this process is killed.

    Raises:
        UserError: another process has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield ()
        return
    with open(folder / LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"another process is at work in {folder}: wait for it, or stop it") from None
        yield (file.fileno(),)
