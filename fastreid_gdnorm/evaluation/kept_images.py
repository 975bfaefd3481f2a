"""A test that keeps its images in memory, to test several models or paths one after another."""

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
    """fast-reid's test on one target: call it with a model to get {metric: value}.

    Args:
        cfg: how to prepare images and compare features.
        target: a data set's name.
        device: the device of the models.
    """

    def __init__(self, cfg: CfgNode, target: str, device: torch.device) -> None:
        loader, self._evaluator = DefaultTrainer.build_evaluator(cfg, target)
        self.images = KeptImages(loader, device)
        self._flip = cfg.TEST.FLIP.ENABLED

    def __call__(self, model: Any) -> dict[str, float]:
        metrics = inference_on_dataset(model, self.images, self._evaluator, flip_test=self._flip)
        return {name: float(value) for name, value in metrics.items()}


class KeptImages:
    """The batches of a test loader, decoded once and kept in memory, to iterate over any number of times.

    Images are stored on the CPU and yielded on ``device``; everything else stays where the loader put it.
    ``seconds_per_batch`` is the median time that the last iteration spent on a batch.
    """

    def __init__(self, loader: Any, device: torch.device) -> None:
        self.dataset = loader.dataset
        self._device = device
        # fast-reid's ToTensor yields whole numbers from 0 to 255 as floats: uint8 takes a quarter of the memory
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
