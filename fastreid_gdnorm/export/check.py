"""Check exported files: compare their features with the trained model's."""

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
from ..rendered import render_people
from .resizing import RESIZES, Resize

CROPS = 8  # number of rendered people used for the check
MIN_COSINE = 0.9999  # lowest accepted cosine between a consumer's features and the trained model's


def check_images(cfg: CfgNode) -> Tensor:
    """Pictures of a few blended random colours, as the test loader would return them; always the same.

    Returns:
        (8, 3, H, W), RGB from 0 to 255.
    """
    transform = build_transforms(cfg, is_train=False)
    colours = np.random.default_rng(0).integers(0, 256, (8, 3, 2, 3), dtype=np.uint8)
    pictures = [Image.fromarray(grid).resize((70, 150)) for grid in colours]
    return torch.stack([transform(picture) for picture in pictures]).float()


@torch.no_grad()
def compare(
    name: str, run: Callable[[Tensor], Tensor], images: Tensor, expected: Tensor, tolerance: float
) -> dict[str, Any]:
    """Compare features with the expected ones, in batches of several sizes.

    Args:
        name: the file's name, for errors.
        run: maps images (B, 3, H, W) to features (B, D).
        images: (N, 3, H, W), N at least 5.
        expected: their features (N, D).
        tolerance: largest accepted difference, relative to the largest feature value.

    Returns:
        The largest ``difference``, relative to the largest feature value, and the ``tolerance``.

    Raises:
        UserError: the difference is above ``tolerance`` or NaN.
    """
    found = torch.cat([run(some.clone()).to(expected) for some in images.split([1, 3, len(images) - 4])])
    difference = float((found - expected).abs().max() / expected.abs().max())
    if not difference <= tolerance:
        raise UserError(
            f"{name}: features differ from the trained model's by {difference:.1e}, more than {tolerance:.0e}; nothing "
            "was exported"
        )
    return {"difference": difference, "tolerance": tolerance}


@torch.no_grad()
def compare_fed(
    name: str,
    run: Callable[[Tensor], Tensor],
    trained: Callable[[Tensor], Tensor],
    resize: Resize,
    model_input: ModelInput,
) -> dict[str, float]:
    """Feed a file as its consumer does, and compare its features with the trained model's.

    Args:
        name: the file's name, for errors.
        run: runs the file: maps the consumer's input (B, 3, H, W) to features (B, D).
        trained: the trained model: maps images (B, 3, H, W), RGB from 0 to 255, to features (B, D).
        resize, model_input: how the consumer resizes crops, and what it feeds to the network.

    Returns:
        The lowest cosine over all crops: ``cosine`` to the trained model on crops resized by the consumer, and
        ``cosine_to_evaluation`` to the trained model on crops resized as in fast-reid's evaluation.

    Raises:
        UserError: ``cosine`` is below MIN_COSINE.
    """
    crops = render_people("street", CROPS)
    resized, as_evaluated = (
        np.stack([function(crop, model_input.size) for crop in crops]) for function in (resize, RESIZES["pillow"])
    )
    fed = torch.from_numpy(model_input.feed(resized))
    found = torch.cat([run(some) for some in fed.split(model_input.batch or CROPS)]).double()
    plain = ModelInput(model_input.size)
    expected = [trained(torch.from_numpy(plain.feed(images))).double() for images in (resized, as_evaluated)]
    cosine, to_evaluation = (float(torch.cosine_similarity(found, other).min()) for other in expected)
    if not cosine >= MIN_COSINE:
        raise UserError(
            f"{name}: the cosine between its features and the trained model's is {cosine:.4f}, below {MIN_COSINE}; "
            "nothing was exported"
        )
    return {"cosine": cosine, "cosine_to_evaluation": to_evaluation}
