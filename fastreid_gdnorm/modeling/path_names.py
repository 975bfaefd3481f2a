"""What MODEL.GDNORM.TEST_PATH may say."""

from __future__ import annotations

import torch
from fastreid.config import CfgNode

from ..errors import UserError
from ..layers import MEANS, AffinePath, MeanPath, SampledPath, SourcePath


def parse_test_path(text: str, cfg: CfgNode) -> tuple[AffinePath, ...]:
    """The paths to average features over: one, or for ``ensemble`` every source's.

    Args:
        text: ``mean``, ``source:K`` (K from 0), ``sample:SEED`` or ``ensemble``.
        cfg: says the sources, what the mean path averages, and how paths are sampled.

    Raises:
        UserError: ``text`` is none of these, no source has the number K, or MEAN_OF is none of its values.
    """
    sources = cfg.DATASETS.NAMES
    kind, _, number = text.partition(":")
    if cfg.MODEL.GDNORM.MEAN_OF not in MEANS:
        raise UserError(f"MODEL.GDNORM.MEAN_OF is {', '.join(MEANS)}; got {cfg.MODEL.GDNORM.MEAN_OF!r}")
    if text == "mean":
        return (MeanPath(cfg.MODEL.GDNORM.MEAN_OF),)
    if text == "ensemble":
        return tuple(SourcePath(k) for k in range(len(sources)))
    if kind == "sample" and number.isdecimal():
        generator = torch.Generator().manual_seed(int(number))
        return (SampledPath(cfg.MODEL.GDNORM.LAMBDA, cfg.MODEL.GDNORM.NOISE, generator),)
    if kind == "source" and number.isdecimal() and int(number) < len(sources):
        return (SourcePath(int(number)),)
    choices = ", ".join(f"source:{k} ({name})" for k, name in enumerate(sources))
    raise UserError(f"MODEL.GDNORM.TEST_PATH is mean, ensemble, sample:SEED, {choices}; got {text!r}")
