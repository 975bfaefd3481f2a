"""The images of a test set in memory, for tests that run over them many times."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from tqdm import tqdm


class KeptImages:
    """The batches of a test loader, decoded once and kept in memory; stands for the loader any number of times.

    Images are kept on the CPU, and each batch's are given on ``device``; all else is given where the loader left it.
    ``seconds_per_batch`` is the median time that whoever iterated last took for a batch.
    """

    def __init__(self, loader: Any, device: torch.device) -> None:
        self.dataset = loader.dataset
        self._device = device
        # fast-reid's ToTensor gives whole numbers from 0 to 255, in four times the bytes
        self._batches = [
            {**batch, "images": batch["images"].to("cpu", torch.uint8)}
            for batch in tqdm(loader, "decoding", leave=False)
        ]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        seconds = []
        for batch in self._batches:
            start = time.perf_counter()
            yield {**batch, "images": batch["images"].to(self._device).float()}
            seconds.append(time.perf_counter() - start)
        self.seconds_per_batch = statistics.median(seconds)
