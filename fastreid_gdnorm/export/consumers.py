"""Programs that load an export, and how each of them feeds a crop into the network.

The preprocessing follows each program's source code: ``fast_reid/fast_reid_interfece.py`` of BoT-SORT,
``reid/core/crops.py`` and ``reid/core/preprocessing.py`` of BoxMOT 25.0.0, ``trackers/utils/reid.py`` of Ultralytics
8.4.190.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..disk import write_text
from ..errors import UserError
from ..inference.description import CHECKPOINT_FILE, Description, ModelInput
from ..runs import files

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BOTSORT_FEATURES = 2048  # hard-coded in BoT-SORT

# Maps an 8-bit RGB crop (h, w, 3) and a size (H, W) to (H, W, 3), still from 0 to 255.
Resize = Callable[[NDArray[np.uint8], tuple[int, int]], NDArray[Any]]


class Consumer(NamedTuple):
    """A program that loads an export.

    Args:
        file: the ONNX file written for it, or the checkpoint that every export contains.
        resize: how it resizes a crop.
        input: the network's input for a given size.
        use: how to point the program at the files; ``{folder}`` is the export's folder.
    """

    file: str
    resize: Resize
    input: Callable[[tuple[int, int]], ModelInput]
    use: str

    @property
    def has_own_file(self) -> bool:
        """Whether the program needs a file other than the checkpoint."""
        return self.file != CHECKPOINT_FILE


def resize_as_evaluation(crop: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[Any]:
    """Bicubic with antialiasing, as fast-reid's test transforms do."""
    return np.asarray(Image.fromarray(crop).resize(size[::-1], Image.Resampling.BICUBIC))


def resize_by_opencv(crop: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[Any]:
    """Bilinear without antialiasing, rounded to 8 bits."""
    return cv2.resize(crop, size[::-1], interpolation=cv2.INTER_LINEAR)


def resize_by_torch(crop: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[Any]:
    """Bilinear without antialiasing, not rounded."""
    image = torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1)[None].float()
    resized = torch.nn.functional.interpolate(image, size, mode="bilinear", align_corners=False)
    found: NDArray[np.float32] = resized[0].permute(1, 2, 0).numpy()
    return found


CONSUMERS = {
    "fastreid": Consumer(
        CHECKPOINT_FILE,
        resize_as_evaluation,
        ModelInput,
        "--config-file {folder}/config.yaml MODEL.WEIGHTS {folder}/model.pth",
    ),
    "botsort": Consumer(
        CHECKPOINT_FILE,
        resize_by_opencv,
        ModelInput,
        "--with-reid --fast-reid-config {folder}/config.yaml --fast-reid-weights {folder}/model.pth",
    ),
    "boxmot": Consumer(
        "model_boxmot.onnx",
        resize_by_opencv,
        lambda size: ModelInput(size, (0, 1), IMAGENET_MEAN, IMAGENET_STD),
        "boxmot track --reid {folder}/model_boxmot.onnx",
    ),
    "ultralytics": Consumer(
        "model_ultralytics.onnx",
        resize_by_torch,
        lambda size: ModelInput(size, (0, 1)),
        "in the tracker's YAML file: with_reid: True, model: {folder}/model_ultralytics.onnx",
    ),
}


def usage_note(consumer: str, architecture: str, features: int) -> str:
    """What a user must change in a program to run a model with this many features, or "".

    Raises:
        UserError: the program cannot run the model.
    """
    if consumer != "botsort" or features == BOTSORT_FEATURES:
        return ""
    if architecture == "MGN":
        raise UserError(
            f"--for botsort: BoT-SORT cannot use an MGN with {features} features, only with {BOTSORT_FEATURES}: train "
            "it with MODEL.HEADS.EMBEDDING_DIM 256, or export --for boxmot"
        )
    return (
        f"BoT-SORT expects {BOTSORT_FEATURES} features and this model has {features}: replace {BOTSORT_FEATURES} by "
        f"{features} in BoT-SORT's fast_reid/fast_reid_interfece.py, or it fails at the first frame"
    )


def sidecar_of(file: str) -> str:
    """Name of the metadata file that BoxMOT reads beside a model's file."""
    return f"{file}.metadata.json"


def write_sidecar(consumer: str, file: Path, description: Description) -> Path | None:
    """Write the sidecar that a consumer reads beside its file: for BoxMOT, a ``.metadata.json`` with size and resizing.

    Returns:
        The sidecar's path, or None if the consumer reads none.
    """
    if consumer != "boxmot":
        return None
    sidecar = file.with_name(sidecar_of(file.name))
    size = list(description.input.size)
    content = {
        "schema_version": 1,
        "model_name": "fastreid_gdnorm",  # otherwise BoxMOT looks for one of its backbones' names in the file name
        "preprocess": "resize",
        "img_size": size,
        "model_kwargs_schema_version": 1,
        "model_kwargs": {"img_size": size},
        "source_sha256": description.model[len(files.DIGEST) :],
    }
    write_text(sidecar, json.dumps(content, indent=2) + "\n")
    return sidecar
