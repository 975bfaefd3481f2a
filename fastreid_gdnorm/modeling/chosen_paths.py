"""Paths that are chosen for each batch of a test, by what is in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..image_names import camera_of
from ..layers import NearnessPath, Path, PathOfEach, PosteriorPath, WeightedPath
from ..site_cameras import OF_READER, SiteCameras

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
        paths: {camera: path}, by any name that :class:`SiteCameras` understands.
        others: the path of images of other cameras, or of unknown ones.

    Attributes:
        cameras: those that have a path.
    """

    def __init__(self, paths: Mapping[str, PosteriorPath], others: PosteriorPath) -> None:
        self.paths = dict(paths)
        self.others = others
        self.cameras = SiteCameras(self.paths)

    def __call__(self, model: Any, batch: Any) -> PathOfEach:
        """The batch's paths: by its ``cameras``, a name for each image, or as fast-reid's test loaders say them."""
        numbers = {camera: number for number, camera in enumerate(self.paths)}
        found = (numbers.get(self.cameras.find(camera), len(numbers)) for camera in cameras_of(batch))
        choice: Tensor = torch.tensor(list(found), device=model.device)
        return PathOfEach([*self.paths.values(), self.others], choice)


def cameras_of(batch: Any) -> list[str]:
    """Of a batch's images; "" where the batch does not say them."""
    if isinstance(batch, dict) and "cameras" in batch:
        return list(batch["cameras"])
    if isinstance(batch, dict) and "camids" in batch:
        return list(map(camera_label, batch["img_paths"], batch["camids"].tolist()))
    return [""] * len(batch["images"] if isinstance(batch, dict) else batch)


def camera_label(path: str, camid: object) -> str:
    """What a data set's camera is called: as the image's name says, else ``camid N`` by the number of its reader.

    Readers number as they like, most from 0, so that such a number is not another one's camera of the same number.

    Args:
        camid: an item's; those of training items have the data set's name before them.
    """
    return camera_of(path) or OF_READER + str(camid).rpartition("_")[2]
