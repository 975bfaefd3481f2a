"""Replace a command's own files in a folder, known by their digests, without touching the user's files there."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .disk import check_writable, digest, replacing
from .errors import UserError


def check_free(folder: Path, names: Iterable[str], former: Mapping[str, str], command: str) -> None:
    """Check that replacing ``former`` by ``names`` in ``folder`` destroys none of the user's files.

    Args:
        former: {name: SHA-256} of the files that the command wrote there before; "" if the digest is unknown.
        command: the command's name, for errors.

    Raises:
        UserError: the command would replace a file that it did not write, or that has changed since.
        OSError: the folder is not writable.
    """
    fix = "move it away, or choose another --output"
    check_writable(folder)
    for name in names:
        if name not in former and (folder / name).exists():
            raise UserError(f"{folder / name} already exists and was not written by {command}: {fix}")
    for name, expected in former.items():
        if expected and (folder / name).is_file() and digest(folder / name) != expected:
            raise UserError(f"{folder / name} has changed since {command} wrote it: {fix}")


@contextlib.contextmanager
def in_place_of(folder: Path, former: Iterable[str]) -> Iterator[Path]:
    """Yield a temporary folder; when the block ends, its files replace the ``former`` ones in ``folder``.

    After an error in the block, the files in ``folder`` are unchanged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as name:
        part = Path(name)
        yield part
        written = sorted(file.name for file in part.iterdir())
        for stale in set(former).difference(written):
            (folder / stale).unlink(missing_ok=True)
        for file in written:
            with replacing(folder / file) as new:
                (part / file).replace(new)
