"""The values of MODEL.GDNORM.TEST_PATH."""

from __future__ import annotations

import math
from typing import Union

import torch
from fastreid.config import CfgNode

from ..errors import UserError
from ..layers import InstancePath, MeanPath, Path, SampledPath, SourcePath, WeightedPath
from ..layers.paths import MEANS
from .chosen_paths import Chooser, NearestBranches
from .posterior_files import load_site

POSTERIOR = "posterior"  # posterior:FILE
TestPath = Union[Path, Chooser]


def posterior_place(text: str) -> str:
    """The file or folder that a TEST_PATH posterior:FILE names, or "" for other paths."""
    kind, _, place = text.partition(":")
    return place if kind == POSTERIOR else ""


def parse_test_path(text: str, cfg: CfgNode) -> tuple[TestPath, ...]:
    """The paths to average features over: all sources' paths for ``ensemble``, else a single one.

    Args:
        text: ``mean``, ``source:N`` (N from 0), ``sample:SEED``, ``ensemble``, ``weighted`` (branches weighted for each
            image by how close it is to them), ``weighted:W,W,...`` (a weight for each branch), ``instance`` or
            ``posterior:FILE``.
        cfg: the config, with the sources, what the mean path averages, and how paths are sampled.

    Raises:
        UserError: ``text`` is none of these, source N or the file does not exist, the weights are invalid, or
            MODEL.GDNORM.MEAN_OF is invalid.
    """
    sources, mean_of = cfg.DATASETS.NAMES, cfg.MODEL.GDNORM.MEAN_OF
    kind, colon, rest = text.partition(":")
    if mean_of not in MEANS:
        raise UserError(f"MODEL.GDNORM.MEAN_OF must be one of {', '.join(MEANS)}; got {mean_of!r}")
    if text == "mean":
        return (MeanPath(mean_of),)
    if text == "ensemble":
        return tuple(SourcePath(k) for k in range(len(sources)))
    if text == "weighted":
        return (NearestBranches(mean_of),)
    if text == "instance":
        return (InstancePath(),)
    if kind == "weighted" and colon:
        return (_weighted(rest, len(sources)),)
    if kind == POSTERIOR and rest:
        return (load_site(rest),)
    if kind == "sample" and rest.isdecimal():
        generator = torch.Generator().manual_seed(int(rest))
        return (SampledPath(cfg.MODEL.GDNORM.LAMBDA, cfg.MODEL.GDNORM.NOISE, generator),)
    if kind == "source" and rest.isdecimal() and int(rest) < len(sources):
        return (SourcePath(int(rest)),)
    choices = ", ".join(f"source:{k} ({name})" for k, name in enumerate(sources))
    raise UserError(
        "MODEL.GDNORM.TEST_PATH must be mean, ensemble, weighted, weighted:W,W,..., instance, posterior:FILE, "
        f"sample:SEED, {choices}; got {text!r}"
    )


def _weighted(text: str, sources: int) -> WeightedPath:
    try:
        weights = [float(word) for word in text.split(",")]
        if len(weights) != sources or not math.isclose(sum(weights), 1, abs_tol=0.005):
            raise ValueError
        return WeightedPath(torch.tensor(weights) / sum(weights))
    except ValueError:
        raise UserError(
            f"MODEL.GDNORM.TEST_PATH weighted:{text} must have {sources} numbers, a weight for each source, 0 or more, "
            "that add up to 1"
        ) from None
