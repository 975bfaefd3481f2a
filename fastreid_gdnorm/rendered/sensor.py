"""The photometric pipeline: from what stands before a camera to what its sensor makes of it."""

import cv2
import numpy as np


def develop(image, style, gain, rng):
    """What the sensors of `style` make of an (H, W, 3) uint8 RGB picture: another of the same shape.

    gain: the camera's own, of R, G and B. rng: a generator for the noise.
    """
    if style.blur > 0:
        image = cv2.GaussianBlur(image, (0, 0), style.blur)
    levels = (image / 255.0 * gain) ** style.gamma
    levels = (levels - 0.5) * style.contrast + 0.5 + style.brightness
    grey = levels.mean(axis=2, keepdims=True)
    levels = (grey + (levels - grey) * style.saturation) * style.cast
    levels += rng.normal(0, style.noise, levels.shape)
    return np.clip(np.rint(levels * 255), 0, 255).astype(np.uint8)
