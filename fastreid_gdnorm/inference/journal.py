"""Features that are already there, so that long work which was stopped goes on where it was."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..disk import replacing
from ..errors import UserError


class Journal:
    """Features by the contents of their images, in a folder that outlives its process.

    Args:
        folder: of its own; made when there is something to keep. Without one, nothing outlives the process.
        model: the digest of the model. Another model's features are not taken for this one's.
    """

    def __init__(self, folder: Path | None = None, model: str = "") -> None:
        self._top, self._folder = folder, folder and folder / model[:16]
        self._features: dict[str, NDArray[np.float32]] = {}
        self._parts = 0
        for part in sorted(self._folder.glob("*.npz")) if self._folder else []:
            try:
                with np.load(part, allow_pickle=False) as kept:
                    self._features.update(zip(kept["digests"].tolist(), kept["features"]))
            except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
                raise UserError(f"{part} is damaged ({error}): remove {folder}, and start again") from error
            self._parts += 1

    def __contains__(self, digest: str) -> bool:
        return digest in self._features

    def __getitem__(self, digest: str) -> NDArray[np.float32]:
        return self._features[digest]

    def keep(self, digests: Sequence[str], features: NDArray[np.float32]) -> None:
        """Add features (N, D); whenever the process is killed, all of them are kept or none."""
        if not digests:
            return
        self._features.update(zip(digests, features))
        if not self._folder:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with replacing(self._folder / f"{self._parts:06d}.npz") as part, open(part, "wb") as stream:
            np.savez(stream, digests=np.array(digests), features=features)
        self._parts += 1

    def remove(self) -> None:
        """Forget everything: it is in its place."""
        if self._top:
            shutil.rmtree(self._top, ignore_errors=True)
