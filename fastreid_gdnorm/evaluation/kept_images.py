"""A test whose images stay in memory, for models or paths that take it one after the other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from fastreid.config import CfgNode
from fastreid.engine import DefaultTrainer
from fastreid.evaluation import inference_on_dataset
from tqdm import tqdm


class KeptTest:
    """fast-reid's test on one target: called with a model, it gives the metrics by name.

    Args:
        cfg: says how images are prepared and features compared.
        target: a data set's name.
        device: where the models are.
    """

    def __init__(self, cfg: CfgNode, target: str, device: torch.device) -> None:
        loader, self._evaluator = DefaultTrainer.build_evaluator(cfg, target)
        self.images = KeptImages(loader, device)
        self._flip = cfg.TEST.FLIP.ENABLED

    def __call__(self, model: Any) -> dict[str, float]:
        metrics = inference_on_dataset(model, self.images, self._evaluator, flip_test=self._flip)
        return {name: float(value) for name, value in metrics.items()}


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
            for batch in tqdm(loader, "decoding", leave=False, disable=None, delay=2)
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
