"""Files that a command writes together into a folder where a user can have others, known by a list with digests."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .disk import check_writable, digest, replacing
from .errors import UserError


def check_free(folder: Path, names: Iterable[str], former: Mapping[str, str], command: str) -> None:
    """That writing ``names`` into ``folder`` in place of ``former`` loses nothing of the user's.

    Args:
        former: {name: SHA-256} of what the command wrote there before; "" where the digest is not known.
        command: what the error calls it.

    Raises:
        UserError: a file is in the way that the command did not write, or that has changed since.
        OSError: nothing can be written there.
    """
    fix = "move it away, or choose another --output"
    check_writable(folder)
    for name in names:
        if name not in former and (folder / name).exists():
            raise UserError(f"{folder / name} is there already and {command} did not write it: {fix}")
    for name, expected in former.items():
        if expected and (folder / name).is_file() and digest(folder / name) != expected:
            raise UserError(f"{folder / name} has changed since {command} wrote it: {fix}")


@contextlib.contextmanager
def in_place_of(folder: Path, former: Iterable[str]) -> Iterator[Path]:
    """A folder to write files to, which in the end take the place of the ``former`` ones in ``folder``.

    After an error ``folder`` is as it was.
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
