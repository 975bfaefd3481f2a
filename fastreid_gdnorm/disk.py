"""Atomic writing of files, locks on folders, and SHA-256 digests."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from .errors import UserError

LOCK = ".lock"
HELD = "FASTREID_LOCK"  # a child's environment variable: file descriptor of the lock that its parent shares with it
_descriptors: set[int] = set()  # file descriptors of the locks that this process holds


def digest(file: str | Path) -> str:
    """SHA-256 of a file's contents."""
    with open(file, "rb") as stream:
        return digest_of(stream)


def size_of(file: str | Path) -> int:
    """A file's size in bytes; -1 if it cannot be read."""
    try:
        return os.stat(file).st_size if os.access(file, os.R_OK) else -1
    except OSError:
        return -1


def first_copies(files: Sequence[str]) -> list[int]:
    """For each file, the place of the first file with the same contents, which is its own if there is no earlier one.

    Only files whose size is shared are read. A file that cannot be read equals no other.
    """
    sizes = list(map(size_of, files))
    counts = Counter(sizes)
    first: dict[str, int] = {}
    return [
        first.setdefault(digest(file), place) if size >= 0 and counts[size] > 1 else place
        for place, (file, size) in enumerate(zip(files, sizes))
    ]


def digest_of(stream: BinaryIO) -> str:
    """SHA-256 of a stream from its current position to its end."""
    sha256 = hashlib.sha256()
    while block := stream.read(2**20):
        sha256.update(block)
    return sha256.hexdigest()


def file_name(name: str) -> str:
    """A data set's name as a part of a file's name: ``data/office.csv`` becomes ``data-office.csv``."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-")


@contextlib.contextmanager
def replacing(file: str | Path) -> Iterator[Path]:
    """Write ``file`` atomically: yield a temporary path, which replaces ``file`` when the block ends.

    The contents are flushed to disk first. After an error ``file`` is unchanged and the temporary file is removed.
    Each call has its own temporary path, so if several processes write one file at once, the last one wins and nothing
    mixes. The new file keeps the old one's permissions, and links keep pointing to it. Anything that is neither file
    nor folder, such as /dev/stdout, is written directly.

    Raises:
        OSError: ``file`` cannot be written. The error names ``file``, even if the library that writes it raised
            another exception.
    """
    file = Path(file)
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    if file.exists() and not file.is_file():
        yield file
        return
    target = Path(os.path.realpath(file))
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        with open(part, "rb+") as stream:
            os.fsync(stream.fileno())
        if target.exists():
            shutil.copymode(target, part)
        part.replace(target)
    except OSError as error:
        if error.errno and error.filename in (None, str(part)):
            raise OSError(error.errno, os.strerror(error.errno), str(file)) from error
        raise
    except Exception as error:
        reason = _why_not(part)
        if reason:
            raise OSError(reason, os.strerror(reason), str(file)) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def write_text(file: str | Path, text: str, errors: str = "strict") -> None:
    """Write a text in UTF-8 atomically (:func:`replacing`), with its line ends unchanged."""
    with replacing(file) as part:
        part.write_bytes(text.encode("utf-8", errors))


def check_writable(folder: str | Path) -> None:
    """Check that files can be written in a folder, which need not exist yet and is not created.

    Raises:
        OSError: files cannot be written there.
    """
    nearest = Path(os.path.abspath(folder))
    try:
        while not nearest.exists():
            nearest = nearest.parent
        with tempfile.TemporaryFile(dir=nearest) as file:
            file.write(bytes(2**12))
    except OSError as error:
        if not error.errno:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(folder)) from error


def save_figure(file: str | Path, figure: Any, dpi: int) -> None:
    """Save a matplotlib figure atomically (:func:`replacing`), in the format named by the file's suffix."""
    with replacing(file) as part:
        figure.savefig(part, dpi=dpi, format=Path(file).suffix[1:])


def _why_not(part: Path) -> int | None:
    """The error number if a file cannot grow any more, for example on a full disk; else None."""
    try:
        with open(part, "ab") as stream:
            stream.write(bytes(2**20))
    except OSError as error:
        return error.errno
    return None


def leftovers(file: Path) -> list[Path]:
    """Temporary files of ``file`` left by processes that were killed in :func:`replacing`."""
    part = re.compile(re.escape(file.name) + r"(\.[0-9a-f]{8})?\.part")
    return [other for other in file.parent.iterdir() if part.fullmatch(other.name)]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[tuple[int, ...]]:
    """Lock ``folder`` against other processes that call this function.

    Yields the lock's file descriptors. A child process that inherits them holds the lock as long as it lives, even if
    this process is killed, and can enter the lock itself if its environment variable FASTREID_LOCK (``HELD``) names the
    descriptor.
    Forked processes, such as a loader's workers, do not hold the lock.

    Raises:
        UserError: another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield ()
        return
    descriptor, is_own = _shared_by_parent(folder / LOCK), False
    if descriptor is None:
        descriptor, is_own = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666), True
        _descriptors.add(descriptor)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another process is working in {folder}: wait for it, or stop it") from None
        yield (descriptor,)
    finally:
        if is_own:
            _descriptors.remove(descriptor)
            os.close(descriptor)


def _shared_by_parent(file: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        descriptor = int(os.environ.get(HELD, ""))
        if os.path.samestat(os.fstat(descriptor), os.stat(file)):
            return descriptor
    return None


def _close_in_forked_child() -> None:
    for descriptor in _descriptors:
        os.close(descriptor)
    _descriptors.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_forked_child)
