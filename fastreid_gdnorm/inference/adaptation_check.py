"""Check from unlabelled images whether a posterior path can be trusted."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..layers import MeanPath, PosteriorPath
from ..layers.eval_mode import evaluating

# Chosen on synthetic domains set aside for it; projects/GDNorm/results/posterior.md tells how often it was right on
# other domains.
MIN_REPEATABILITY = 0.5
# With fewer images some domains lost up to 3 mAP. With 16 random images of many people none did (same page).
MIN_IMAGES = 16


class Reliability(NamedTuple):
    """How reliable a posterior path is.

    Args:
        repeatability: how well two halves of the images agree on how the path changes the features. 1 means full
            agreement, 0 or less means no more than chance. 0 for fewer than four images.
        images: number of images compared.
    """

    repeatability: float
    images: int

    @property
    def is_sufficient(self) -> bool:
        """Whether the path is expected to be no worse than the mean path."""
        return self.repeatability >= MIN_REPEATABILITY


def assess(model: Any, images: Tensor, path: PosteriorPath) -> Reliability:
    """Compare how far the path moves the features with how far chance alone would move them.

    If the site is a single domain, the paths of the first and second half of the images differ only by chance. The
    check cannot detect a site that differs from the sources in its content rather than in its appearance.

    Args:
        model: a GDNorm meta-architecture.
        images: (s, 3, H, W), the path's images or a sample of them in the same order, as the model takes them.
    """
    s = len(images)
    if s < 4:
        return Reliability(0.0, s)
    halves = [PosteriorPath.from_images(model, {"images": half}) for half in images.split((s + 1) // 2)]
    with evaluating(model), torch.no_grad():
        one, other, whole, before = (
            normalize(model.embed({"images": images}, [each])) for each in (*halves, path, MeanPath())
        )
    # The halves' difference has 4 / s of one image's variance, the whole path 1 / n of it.
    by_chance = (one - other).square().sum() * s / (4 * path.images)
    moved = (whole - before).square().sum().clamp(min=1e-12)
    return Reliability(float(1 - by_chance / moved), s)
