"""Journal: saves features as they are computed, so that an interrupted extraction can resume."""

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
    """Features keyed by their images' contents, saved in a folder that later processes can read.

    Args:
        folder: a folder for the journal alone, created when the first features are saved. None saves nothing to disk.
        model: digest of the model; each model has its own subfolder, so features of two models never mix.
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
                raise UserError(f"{part} is damaged ({error}): remove it, and rerun the command") from error

    def __contains__(self, digest: str) -> bool:
        return digest in self._features

    def __getitem__(self, digest: str) -> NDArray[np.float32]:
        return self._features[digest]

    def keep(self, digests: Sequence[str], features: NDArray[np.float32]) -> None:
        """Save features (N, D). If the process is killed, either all of them are saved or none."""
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
        """Remove the journal's files, and its folders if they are then empty."""
        if not self._folder:
            return
        # A killed process may have left an unfinished next part.
        own = (*self._parts, self._next_part(self._folder)) if self._folder.is_dir() else ()
        for part in own:
            for file in (part, *leftovers(part)):
                file.unlink(missing_ok=True)
        for folder in (self._folder, self._folder.parent):
            with contextlib.suppress(OSError):  # the folder is not empty, or it is gone
                folder.rmdir()

    def _next_part(self, folder: Path) -> Path:
        return folder / f"{1 + int(self._parts[-1].stem) if self._parts else 0:06d}.npz"

    def _take(self, digests: Sequence[str], features: NDArray[np.float32]) -> None:
        if features.ndim != 2 or len(digests) != len(features):
            raise ValueError(f"{len(digests)} images and features of shape {features.shape}")
        # An earlier version could save NaN: leave those out, so that they are computed again and reported.
        self._features.update(pair for pair in zip(digests, features) if np.isfinite(pair[1]).all())


def _is_part(file: Path) -> bool:
    return re.fullmatch(r"\d{6}\.npz", file.name) is not None
