"""Paths that are chosen for each batch of a test, by what is in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..image_names import camera_of
from ..layers import NearnessPath, Path, PathOfEach, PosteriorPath, WeightedPath

# (model, batch) to the path of that batch; the model is a GDNorm meta-architecture in eval mode
Chooser = Callable[[Any, Any], Path]


class NearestBranches:
    """Every image by the branches whose statistics are near its own: a :class:`WeightedPath`, at the cost of a pass.

    Args:
        mean_of: what the mean path averages, along which the distances are taken.
    """

    def __init__(self, mean_of: str = "affine") -> None:
        self._mean_of = mean_of

    def __call__(self, model: Any, batch: Any) -> WeightedPath:
        nearness = NearnessPath(self._mean_of)
        model.embed(batch, [nearness])
        return WeightedPath(nearness.weights())


class CameraPaths:
    """Every image along the path of its camera.

    Args:
        paths: {camera: path}; a camera is what :func:`camera_label` gives.
        others: the path of images of other cameras.
    """

    def __init__(self, paths: Mapping[str, PosteriorPath], others: PosteriorPath) -> None:
        self.paths = dict(paths)
        self.others = others

    def __call__(self, model: Any, batch: Any) -> PathOfEach:
        """The batch's paths.

        Raises:
            UserError: the batch does not say which camera its images are of.
        """
        if not isinstance(batch, dict) or "camids" not in batch:
            raise UserError("a path for each camera is for tests, where images have cameras: name one camera's file")
        numbers = {camera: number for number, camera in enumerate(self.paths)}
        labels = map(camera_label, batch["img_paths"], batch["camids"].tolist())
        choice: Tensor = torch.tensor([numbers.get(label, len(numbers)) for label in labels], device=model.device)
        return PathOfEach([*self.paths.values(), self.others], choice)


def camera_label(path: str, camid: object) -> str:
    """What a camera is called: as the image's name says, or by the number that the data set's reader gives."""
    return camera_of(path) or str(camid)
