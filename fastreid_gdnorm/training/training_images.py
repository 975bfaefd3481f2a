"""Training images as training prepares them, but always the same."""

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
    """A set whose random transforms do to an image what the name of its file says, and move no random numbers.

    So an image is the same in every process and worker, in any order, and at any time of a training. (A transform that
    keeps what earlier images gave it, such as fast-reid's RandomPatch, still depends on these.)
    """

    def __getitem__(self, index: int) -> dict[str, Any]:
        name = os.path.basename(self.img_items[index][0])
        with _random_numbers(zlib.crc32(name.encode(errors="surrogateescape"))):
            item: dict[str, Any] = super().__getitem__(index)
            return item


@contextlib.contextmanager
def _random_numbers(seed: int) -> Iterator[None]:
    """Within it random numbers are those of ``seed``; after it they go on from where they were."""
    of_python, of_numpy, of_torch = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.random.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        torch.set_rng_state(of_torch)
