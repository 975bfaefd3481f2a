"""A test whose features follow camera offsets, by fast-reid's own evaluators."""

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
    """Camera offsets, as ``fastreid_gdnorm.CameraOffsets`` has them.

    Attributes:
        cameras: those that have an offset.
        pictures: of each image that they were learned from, the beginning of the SHA-256 of the file, uint64.
        site: where they were read from.
    """

    cameras: SiteCameras
    pictures: NDArray[np.uint64]
    site: str

    def __call__(self, features: NDArray[np.float32], cameras: Sequence[str]) -> NDArray[np.float32]:
        """Features (N, D) less the offsets of their cameras, of length 1."""

    def check_model(self, model: str) -> None:
        """Raise UserError if they are of another model's features."""


@contextlib.contextmanager
def following_offsets(model: nn.Module, offsets: Offsets, name: object) -> Iterator[None]:
    """Within it, a model's features in tests follow ``offsets``, by the cameras of their images.

    Args:
        model: has ``camera_offsets`` meanwhile, by which a test says what it has followed.
        name: what errors call it.
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
