"""Whether a posterior path will help, by what unlabelled images show."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..layers import MeanPath, PosteriorPath
from ..layers.eval_mode import evaluating

MIN_REPEATABILITY = 0.5  # chosen on drawn domains of its own; how often it was right elsewhere: results/posterior.md
# With fewer images, some domains lost up to 3 mAP; with 16, drawn at random from many people, none did (same page).
MIN_IMAGES = 16


class Reliability(NamedTuple):
    """What the guard thinks.

    Args:
        repeatability: of what the path does to the features, 1 if halves of the images do the same, 0 or below if
            chance does as much; 0 for fewer than four images.
        images: how many it has looked at.
    """

    repeatability: float
    images: int

    @property
    def trusts(self) -> bool:
        """Whether the path is expected to be no worse than the mean path."""
        return self.repeatability >= MIN_REPEATABILITY


def assess(model: Any, images: Tensor, path: PosteriorPath) -> Reliability:
    """Compare how far the path moves the images' features with how far chance would.

    The paths of the first and of the second half of the images differ by chance alone, if the site is one domain. It
    says nothing of a site that differs from the sources in who or what is there, rather than in how it looks.

    Args:
        model: a GDNorm meta-architecture.
        images: (s, 3, H, W) as the model takes them: all that the path is of, or a sample of them in their order.
    """
    s = len(images)
    if s < 4:
        return Reliability(0.0, s)
    halves = [PosteriorPath.from_images(model, {"images": half}) for half in images.split((s + 1) // 2)]
    with evaluating(model), torch.no_grad():
        one, other, whole, before = (
            normalize(model.embed({"images": images}, [each])) for each in (*halves, path, MeanPath())
        )
    # the halves' difference has 4 / s of an image's variance, the whole path 1 / n of it
    by_chance = (one - other).square().sum() * s / (4 * path.images)
    moved = (whole - before).square().sum().clamp(min=1e-12)
    return Reliability(float(1 - by_chance / moved), s)
