"""Files of a gallery, known by their digests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..disk import digest, digest_of


class SavedFile(NamedTuple):
    """A file that a save of a gallery wrote.

    Args:
        name: its name in the gallery's folder.
        sha256: digest of its contents.
        size: in bytes.
        modified: time of its last change, in nanoseconds.
    """

    name: str
    sha256: str
    size: int
    modified: int

    @classmethod
    def of(cls, file: Path) -> SavedFile:
        """Describe a file that was just written."""
        status = file.stat()
        return cls(file.name, digest(file), status.st_size, status.st_mtime_ns)

    @classmethod
    def from_json(cls, entry: Any) -> SavedFile:
        """An entry of gallery.json. Raises TypeError or ValueError if it is none."""
        name, sha256, size, modified = entry
        if not (isinstance(name, str) and isinstance(sha256, str)):
            raise TypeError(f"a file is {entry!r}")
        return cls(name, sha256, int(size), int(modified))

    def is_untouched(self, folder: Path) -> bool:
        """Whether the file in ``folder`` has this size and time of change."""
        try:
            status = (folder / self.name).stat()
        except FileNotFoundError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.size, self.modified)

    def checked(self, folder: Path) -> SavedFile:
        """The same, with the present time of change. The contents are read only if size or time are others.

        Raises:
            FileNotFoundError: the file is missing.
            ValueError: its contents have changed.
        """
        if self.is_untouched(folder):
            return self
        present = SavedFile.of(folder / self.name)
        if present.sha256 != self.sha256:
            raise ValueError(f"{self.name} is missing or has changed")
        return present

    @contextlib.contextmanager
    def open(self, folder: Path) -> Iterator[BinaryIO]:
        """Open the file, which can then be read to its end even after another process has removed it.

        Raises:
            FileNotFoundError, ValueError: see :meth:`checked`.
        """
        with open(folder / self.name, "rb") as stream:
            if digest_of(stream) != self.sha256:
                raise ValueError(f"{self.name} is missing or has changed")
            stream.seek(0)
            yield stream
