"""The check of what was written: its features against those of the trained model."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import torch
from fastreid.config import CfgNode
from fastreid.data.transforms import build_transforms
from PIL import Image
from torch import Tensor

from ..errors import UserError
from ..inference.description import ModelInput
from ..rendered import draw_people
from .consumers import Resize, resize_as_evaluation

CROPS = 8  # people who are drawn for the check
LEAST_COSINE = 0.999  # of what a consumer gets to what the trained model gives


def check_images(cfg: CfgNode) -> Tensor:
    """Pictures of a few random colours each, blended, as the test loader would give them.

    (8, 3, H, W), RGB from 0 to 255, the same every time.
    """
    transform = build_transforms(cfg, is_train=False)
    colours = np.random.default_rng(0).integers(0, 256, (8, 3, 2, 3), dtype=np.uint8)
    pictures = [Image.fromarray(grid).resize((70, 150)) for grid in colours]
    return torch.stack([transform(picture) for picture in pictures]).float()


@torch.no_grad()
def compare(
    name: str, run: Callable[[Tensor], Tensor], images: Tensor, expected: Tensor, tolerance: float
) -> dict[str, Any]:
    """The largest difference of features, in parts of the largest feature, over batches of several sizes.

    Args:
        name: of the file, for the error.
        run: images (B, 3, H, W) to features (B, D).
        images: 5 or more.
        expected: their features, (number of images, D).

    Raises:
        UserError: the difference is above ``tolerance``, or no number.
    """
    found = torch.cat([run(some.clone()).to(expected) for some in images.split([1, 3, len(images) - 4])])
    difference = float((found - expected).abs().max() / expected.abs().max())
    if not difference <= tolerance:
        raise UserError(f"{name} gives other features: they differ by {difference:.1e}, more than {tolerance:.0e}")
    return {"difference": difference, "tolerance": tolerance}


@torch.no_grad()
def compare_fed(
    name: str,
    run: Callable[[Tensor], Tensor],
    trained: Callable[[Tensor], Tensor],
    resize: Resize,
    takes: ModelInput,
) -> dict[str, float]:
    """How like the features are that a consumer gets to those of the trained model, as the least cosine of any crop.

    Args:
        name: of the file, for the error.
        run: what the consumer runs: what it has fed (B, 3, H, W) to features (B, D).
        trained: images (B, 3, H, W), RGB from 0 to 255, to features (B, D).
        resize, takes: how the consumer feeds.

    Returns:
        ``cosine`` to the trained model on the same resized crops, and ``cosine_to_evaluation``, which resizes itself.

    Raises:
        UserError: the first is below LEAST_COSINE.
    """
    crops = draw_people("street", CROPS)
    resized, as_evaluated = (
        np.stack([function(crop, takes.size) for crop in crops]) for function in (resize, resize_as_evaluation)
    )
    found = run(torch.from_numpy(takes.feed(resized))).double()
    plain = ModelInput(takes.size)
    expected = [trained(torch.from_numpy(plain.feed(images))).double() for images in (resized, as_evaluated)]
    cosine, to_evaluation = (float(torch.cosine_similarity(found, other).min()) for other in expected)
    if not cosine >= LEAST_COSINE:
        raise UserError(f"{name} gives other features: the cosine to the right ones is {cosine:.4f}")
    return {"cosine": cosine, "cosine_to_evaluation": to_evaluation}
