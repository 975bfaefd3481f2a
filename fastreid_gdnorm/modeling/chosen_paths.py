"""Paths that tests choose for each batch, depending on its images or cameras."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..data.own_data import camera_in_table
from ..image_names import camera_of
from ..layers import NearnessPath, Path, PathOfEach, PosteriorPath, WeightedPath
from ..site_cameras import OF_READER, SiteCameras

# Maps (model, batch) to a path for that batch. The model is a GDNorm meta-architecture in eval mode.
Chooser = Callable[[Any, Any], Path]


class NearestBranches:
    """Weights the branches for each image by how close their statistics are to its own. Costs an additional pass.

    Args:
        mean_of: what the mean path averages; distances are measured along it.
    """

    def __init__(self, mean_of: str = "affine") -> None:
        self._mean_of = mean_of

    def __call__(self, model: Any, batch: Any) -> WeightedPath:
        nearness = NearnessPath(self._mean_of)
        model.embed(batch, [nearness])
        return WeightedPath(nearness.weights())


class CameraPaths:
    """Lets every image follow the path of its camera.

    Args:
        paths: {camera: path}, with any camera name that :class:`SiteCameras` understands.
        others: the path for images of other or unknown cameras.

    Attributes:
        cameras: the cameras that have a path.
    """

    def __init__(self, paths: Mapping[str, PosteriorPath], others: PosteriorPath) -> None:
        self.paths = dict(paths)
        self.others = others
        self.cameras = SiteCameras(self.paths)

    def __call__(self, model: Any, batch: Any) -> PathOfEach:
        """The paths of a batch's images, by :func:`cameras_of`."""
        numbers = {camera: number for number, camera in enumerate(self.paths)}
        found = (numbers.get(self.cameras.find(camera), len(numbers)) for camera in cameras_of(batch))
        choice: Tensor = torch.tensor(list(found), device=model.device)
        return PathOfEach([*self.paths.values(), self.others], choice)


def cameras_of(batch: Any) -> list[str]:
    """The camera of each image in a batch, or "" if unknown.

    A batch names them in ``cameras``; one of fast-reid's test loaders has ``img_paths`` and ``camids``.
    """
    if isinstance(batch, dict) and "cameras" in batch:
        return list(batch["cameras"])
    if isinstance(batch, dict) and "camids" in batch:
        return list(map(camera_label, batch["img_paths"], batch["camids"].tolist()))
    return [""] * len(batch["images"] if isinstance(batch, dict) else batch)


def camera_label(path: str, camid: object) -> str:
    """The name of a data set's camera: from the user's own table, else from the image's file name, else ``camid N``
    with the reader's number.

    Readers number cameras as they like, mostly from 0, so equal numbers of two readers are not the same camera.

    Args:
        camid: the camera of an item; in training items it follows the data set's name.
    """
    if path in camera_in_table:
        return camera_in_table[path]
    return camera_of(path) or OF_READER + str(camid).rpartition("_")[2]
