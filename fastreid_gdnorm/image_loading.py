"""Pictures of all kinds as networks see them: upright, in RGB, with 8 bits a colour."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from .errors import UserError

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"))

Picture = Union[str, "os.PathLike[str]", Image.Image, NDArray[np.uint8]]


def read_picture(source: Picture, order: str = "RGB") -> Image.Image:
    """A file, a PIL image or an array (H, W, 3) as an RGB image.

    It is turned upright by its EXIF data, and 16 bits are scaled to 8. Transparency is ignored.

    Args:
        order: "RGB" or "BGR": of the colours in an array.

    Raises:
        UserError: there is no such file, or it holds no picture that can be shown.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, order)
    if isinstance(source, Image.Image):
        return _to_rgb(source)
    try:
        with Image.open(source) as image:
            return _to_rgb(image)
    except UserError as error:
        raise UserError(f"cannot read image {source}: {error}") from error
    except Exception as error:  # Pillow raises all kinds for damaged files
        raise UserError(f"cannot read image {source} ({error})") from error


def list_folder(folder: str | os.PathLike[str]) -> list[str]:
    """The image files in a folder and those below it, by name.

    Raises:
        UserError: there is none.
    """
    found = sorted(
        os.path.join(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if Path(name).suffix.lower() in SUFFIXES
    )
    if not found:
        raise UserError(f"folder {folder} has no image: none of its files ends in {', '.join(sorted(SUFFIXES))}")
    return found


def crops(frame: NDArray[np.uint8], boxes: NDArray[Any]) -> Iterator[NDArray[np.uint8]]:
    """What is in each box of a frame.

    Args:
        frame: (H, W, 3).
        boxes: (N, 4) or more columns, of which the first are x1, y1, x2, y2 in pixels; what lies outside is cut off.

    Yields:
        (height, width, 3), empty where a box has no part in the frame.
    """
    height, width = frame.shape[:2]
    for x1, y1, x2, y2 in np.asarray(boxes)[:, :4].round().astype(int).clip(0, (width, height) * 2):
        yield frame[y1:y2, x1:x2]


def list_pictures(images: Any) -> list[Picture]:
    """All the forms in which several pictures may be given, as a list of single ones.

    Args:
        images: a file, a folder, a PIL image, an array (H, W, 3) or (N, H, W, 3), a pair (frame, boxes) as
            :func:`crops` takes it, or files, PIL images and arrays in a row.
    """
    if isinstance(images, (str, os.PathLike)):
        return list(list_folder(images)) if os.path.isdir(images) else [images]
    if isinstance(images, Image.Image):
        return [images]
    if isinstance(images, np.ndarray):
        return list(images) if images.ndim == 4 else [images]
    if isinstance(images, Iterable):
        given: list[Any] = list(images)
        if len(given) == 2 and isinstance(given[0], np.ndarray) and np.ndim(given[1]) == 2:
            return list(crops(*given))
        return given
    raise UserError(f"images are files, folders, PIL images or arrays, not {type(images).__name__}")


def _from_array(array: NDArray[Any], order: str) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise UserError(f"an image array is uint8 of shape (H, W, 3); got {array.dtype} of shape {array.shape}")
    if not array.size:
        raise UserError(f"an image array has no pixels: its shape is {array.shape}")
    return Image.fromarray(np.ascontiguousarray(array[..., ::-1] if order == "BGR" else array))


def _to_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits of grey, of which Pillow would cut off the brighter ones
        image = Image.fromarray((np.asarray(image) / 257).round().clip(0, 255).astype(np.uint8))
    if image.mode == "F":
        raise UserError("it has floating-point pixels, of which nobody knows the range: save it with 8 bits")
    return image.convert("RGB")
