"""Tests with camera offsets, by fast-reid's own evaluators."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import not_finite
from ..modeling.chosen_paths import cameras_of
from ..site_cameras import SiteCameras


class Offsets(Protocol):
    """The interface of ``fastreid_gdnorm.CameraOffsets``.

    Attributes:
        cameras: the cameras that have an offset.
        pictures: the first 64 bits of the SHA-256 of each image file that the offsets were learned from, uint64.
        site: the folder that they were read from.
    """

    cameras: SiteCameras
    pictures: NDArray[np.uint64]
    site: str

    def __call__(self, features: NDArray[np.float32], cameras: Sequence[str]) -> NDArray[np.float32]:
        """Features (N, D) minus their cameras' offsets, scaled to length 1."""

    def check_model(self, model: str) -> None:
        """Raise UserError if the offsets belong to another model."""


@contextlib.contextmanager
def following_offsets(model: nn.Module, offsets: Offsets, name: object) -> Iterator[None]:
    """Subtract ``offsets`` from a model's features in eval mode, by the camera of each image.

    Args:
        model: inside the block, it has the attribute ``camera_offsets``, so that a test can report them.
        name: the model's name in errors.
    """

    def relative(module: nn.Module, inputs: tuple[Any, ...], features: Any) -> Tensor | None:
        if module.training:
            return None
        batch, flat = inputs[0], features.detach().reshape(len(features), -1).float().cpu()
        unusable = (~flat.isfinite().all(dim=1) | ~flat.any(dim=1)).nonzero()
        if len(unusable):
            raise not_finite(batch["img_paths"][int(unusable[0])], name)
        return torch.from_numpy(offsets(flat.numpy(), cameras_of(batch))).to(features)

    hook = model.register_forward_hook(relative)
    model.camera_offsets = offsets  # type: ignore[assignment]
    try:
        yield
    finally:
        hook.remove()
        del model.camera_offsets
