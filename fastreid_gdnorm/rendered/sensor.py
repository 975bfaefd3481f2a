"""The photometric pipeline of a camera: lens, exposure, colour and noise."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .styles import DomainStyle


def develop(
    image: NDArray[np.uint8], style: DomainStyle, gain: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Pass an (H, W, 3) uint8 RGB picture through the domain's sensor.

    Args:
        gain: the camera's factors of R, G and B.
        rng: generates the noise.
    """
    picture: NDArray[Any] = cv2.GaussianBlur(image, (0, 0), style.blur) if style.blur > 0 else image
    levels = (picture / 255.0 * gain) ** style.gamma
    levels = (levels - 0.5) * style.contrast + 0.5 + style.brightness
    grey = levels.mean(axis=2, keepdims=True)
    levels = (grey + (levels - grey) * style.saturation) * style.cast
    levels += rng.normal(0, style.noise, levels.shape)
    developed: NDArray[np.uint8] = np.clip(np.rint(levels * 255), 0, 255).astype(np.uint8)
    return developed
