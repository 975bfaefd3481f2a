"""Training images with repeatable augmentation."""

from __future__ import annotations

import contextlib
import os
import random
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from fastreid.data import CommDataset


class RepeatableImages(CommDataset):
    """A data set that seeds its random transforms by the image's file name and leaves the global random state alone.

    So an image looks the same in every process and worker, in any order, and at any point of a training. (A transform
    that remembers earlier images, such as fast-reid's RandomPatch, still depends on them.)
    """

    def __getitem__(self, index: int) -> dict[str, Any]:
        name = os.path.basename(self.img_items[index][0])
        with _seeded(zlib.crc32(name.encode(errors="surrogateescape"))):
            item: dict[str, Any] = super().__getitem__(index)
            return item


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the random numbers of Python, NumPy and torch, and restore their states afterwards."""
    python_state, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.random.default_generator.manual_seed(seed)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
