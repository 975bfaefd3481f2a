"""fast-reid's evaluation on several splits of one data set, extracting features only once."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from fastreid.config import CfgNode
from fastreid.evaluation import ReidEvaluator
from fastreid.utils import comm

from .metrics import SPREAD


class SplitResults(OrderedDict[str, float]):
    """Each metric's mean over the splits, under its name, and its standard deviation, under its name + " std".

    The standard deviation is the sample's (n - 1). ``splits`` has the results of every split.
    """

    def __init__(self, splits: Sequence[Mapping[str, float]]) -> None:
        self.splits = splits
        super().__init__((name, float(np.mean([split[name] for split in splits]))) for name in splits[0])
        for name in splits[0]:
            values = [split[name] for split in splits]
            self[name + SPREAD] = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


class SplitEvaluator(ReidEvaluator):
    """A ReidEvaluator that takes the features of all images of a data set and evaluates them split by split.

    Args:
        splits: (queries, gallery) of each split, as indices into the images that the model is run on.
    """

    def __init__(
        self, cfg: CfgNode, splits: Sequence[tuple[Sequence[int], Sequence[int]]], output_dir: str | None = None
    ) -> None:
        super().__init__(cfg, num_query=0, output_dir=output_dir)
        self._splits = splits
        self._predictions: list[dict[str, torch.Tensor]]

    def evaluate(self) -> SplitResults | dict[str, float]:
        """SplitResults in the main process, {} in the others."""
        predictions = list(itertools.chain(*comm.gather(self._predictions, dst=0)))
        all_images = {key: torch.cat([part[key] for part in predictions]) for key in (predictions or [{}])[0]}
        results = []
        for query, gallery in self._splits:
            indices = torch.tensor([*query, *gallery])
            # ReidEvaluator gathers again, so every process must take part; only the main one has features to send
            self._predictions = [{key: values[indices] for key, values in all_images.items()}] if predictions else []
            self._num_query = len(query)
            results.append(super().evaluate())
        return SplitResults(results) if comm.is_main_process() else {}
