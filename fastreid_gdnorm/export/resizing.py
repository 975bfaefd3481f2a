"""How the programs that load exports resize a crop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

# Maps an 8-bit RGB crop (h, w, 3) and a size (H, W) to (H, W, 3), still from 0 to 255.
Resize = Callable[[NDArray[np.uint8], tuple[int, int]], NDArray[Any]]


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


RESIZES: dict[str, Resize] = {
    "pillow": resize_as_evaluation,
    "opencv": resize_by_opencv,
    "torch": resize_by_torch,
}
