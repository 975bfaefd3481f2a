"""Whether a posterior path will help, by what unlabelled images show."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..layers import MeanPath, PosteriorPath, evaluating


class Verdict(NamedTuple):
    """What the guard thinks.

    Args:
        before, after: mean cosine between features of different images, along the mean path and the posterior path.
        images: how many it has looked at.
    """

    before: float
    after: float
    images: int

    @property
    def helps(self) -> bool:
        """Whether the posterior path is expected to be better than the mean path."""
        return self.after < self.before


def consult(model: Any, images: Tensor, path: PosteriorPath) -> Verdict:
    """Compare how alike different images look along both paths: features that tell images apart are spread out.

    How often it was right is in projects/GDNorm/results/posterior.md.

    Args:
        model: a GDNorm meta-architecture.
        images: (n, 3, H, W) as the model takes them, two or more.
    """
    with evaluating(model), torch.no_grad():
        before, after = (_likeness(model.embed({"images": images}, [one])) for one in (MeanPath(), path))
    return Verdict(before, after, len(images))


def _likeness(features: Tensor) -> float:
    features = normalize(features.double())
    n = len(features)
    return float((features.sum(0).square().sum() - n) / (n * (n - 1)))
