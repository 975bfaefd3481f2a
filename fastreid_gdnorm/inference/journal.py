"""Features that are already there, so that long work which was stopped goes on where it was."""

from __future__ import annotations

import contextlib
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..disk import leftovers, replacing
from ..errors import UserError


class Journal:
    """Features by the contents of their images, in a folder that outlives its process.

    Args:
        folder: of its own; made when there is something to keep. Without one, nothing outlives the process.
        model: the digest of the model. Another model's features are not taken for this one's.
    """

    def __init__(self, folder: Path | None = None, model: str = "") -> None:
        self._folder = folder and folder / model[:16]
        self._features: dict[str, NDArray[np.float32]] = {}
        self._parts = sorted(filter(_is_part, self._folder.iterdir())) if self._folder and self._folder.is_dir() else []
        for part in self._parts:
            try:
                with np.load(part, allow_pickle=False) as kept:
                    self._take(kept["digests"].tolist(), kept["features"])
            except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
                raise UserError(f"{part} is damaged ({error}): remove it, and run the same command again") from error

    def __contains__(self, digest: str) -> bool:
        return digest in self._features

    def __getitem__(self, digest: str) -> NDArray[np.float32]:
        return self._features[digest]

    def keep(self, digests: Sequence[str], features: NDArray[np.float32]) -> None:
        """Add features (N, D); whenever the process is killed, all of them are kept or none."""
        if not digests:
            return
        self._take(digests, features)
        if not self._folder:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._next_part(self._folder)
        with replacing(file) as part, open(part, "wb") as stream:
            np.savez(stream, digests=np.array(digests), features=features)
        self._parts.append(file)

    def remove(self) -> None:
        """Forget everything: it is in its place. Only its own files go, and its folders if nothing else is in them."""
        if not self._folder:
            return
        own = (*self._parts, self._next_part(self._folder)) if self._folder.is_dir() else ()
        for part in own:  # a killed process has begun the next one
            for file in (part, *leftovers(part)):
                file.unlink(missing_ok=True)
        for folder in (self._folder, self._folder.parent):
            with contextlib.suppress(OSError):  # something else is in there, or it is gone
                folder.rmdir()

    def _next_part(self, folder: Path) -> Path:
        return folder / f"{1 + int(self._parts[-1].stem) if self._parts else 0:06d}.npz"

    def _take(self, digests: Sequence[str], features: NDArray[np.float32]) -> None:
        if features.ndim != 2 or len(digests) != len(features):
            raise ValueError(f"{len(digests)} images and features of shape {features.shape}")
        # those of earlier versions may be NaN: they are computed again, and refused there
        self._features.update(pair for pair in zip(digests, features) if np.isfinite(pair[1]).all())


def _is_part(file: Path) -> bool:
    return re.fullmatch(r"\d{6}\.npz", file.name) is not None
