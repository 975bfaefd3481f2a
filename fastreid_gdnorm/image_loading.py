"""Load pictures of all kinds as upright RGB images with 8 bits per colour."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from .errors import UnreadableImage, UserError

logger = logging.getLogger(__name__)  # without a handler, warnings go to stderr

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"))
LITTER = frozenset(("Thumbs.db", "desktop.ini", "__MACOSX"))  # left beside images by operating systems

Picture = Union[str, "os.PathLike[str]", Image.Image, NDArray[np.uint8]]


def read_picture(source: Picture, order: str = "RGB") -> Image.Image:
    """Load a file, a PIL image or an array (H, W, 3) as an RGB image.

    The image is rotated by its EXIF orientation, and 16 bits are scaled to 8. Transparency is ignored.

    Args:
        order: "RGB" or "BGR", the order of colours in an array.

    Raises:
        UnreadableImage: the file does not exist or cannot be decoded.
        UserError: the array is not uint8 of shape (H, W, 3).
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, order)
    if isinstance(source, Image.Image):
        return _to_rgb(source)
    try:
        with Image.open(source) as image:
            return _to_rgb(image)
    except UserError as error:
        raise UnreadableImage(f"cannot read image {source}: {error}") from error
    except Exception as error:  # Pillow raises many kinds of exceptions for damaged files
        raise UnreadableImage(f"cannot read image {source} ({error})") from error


def is_picture(name: str) -> bool:
    """Whether a file name has an image suffix, in upper or lower case, and is not hidden."""
    return os.path.splitext(name)[1].lower() in SUFFIXES and not is_litter(name)


def is_litter(name: str) -> bool:
    """Whether a file or folder is hidden, or is left beside images by an operating system."""
    return name.startswith(".") or name in LITTER


def list_folder(folder: str | os.PathLike[str]) -> list[str]:
    """The image files in a folder and its subfolders, sorted by name; a warning counts other files.

    Linked folders are searched too, each once. Hidden files and folders are ignored.

    Raises:
        UserError: there is no image, or a folder cannot be searched.
    """
    files = [os.path.join(parent, name) for parent, names in _walk(os.fspath(folder)) for name in names]
    found = sorted(file for file in files if is_picture(os.path.basename(file)))
    if not found:
        raise UserError(f"folder {folder} has no images: no file in it ends in {', '.join(sorted(SUFFIXES))}")
    others = sorted(set(files) - set(found))
    if others:
        logger.warning(
            "%s: left out %d of %d files, because they have no image suffix; the first is %s",
            *(folder, len(others), len(files), others[0]),
        )
    return found


def _walk(folder: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder once, with its files; real folders come before linked ones."""
    waiting, known = [folder], set()
    while waiting:
        for parent, subfolders, names in os.walk(waiting.pop(0), onerror=_refuse):
            place = os.path.realpath(parent)
            if place in known:
                subfolders.clear()
                continue
            known.add(place)
            subfolders[:] = sorted(name for name in subfolders if not is_litter(name))
            yield parent, [name for name in names if not is_litter(name)]
            for link in filter(os.path.islink, (os.path.join(parent, name) for name in subfolders)):
                if place.startswith(os.path.join(os.path.realpath(link), "")):
                    logger.warning("%s links to a folder above it and is not followed", link)
                else:
                    waiting.append(link)


def _refuse(error: OSError) -> None:
    raise UserError(
        f"cannot search folder {error.filename} ({error.strerror}): change its permissions, or choose another folder"
    )


def crops(frame: NDArray[np.uint8], boxes: Any) -> Iterator[NDArray[np.uint8]]:
    """Crop the boxes out of a frame.

    Args:
        frame: (H, W, 3).
        boxes: (N, 4) or more columns, the first four being x1, y1, x2, y2 in pixels. Boxes are clipped to the frame.
            Any empty array means no boxes.

    Yields:
        Arrays (height, width, 3), empty if a box lies outside the frame.

    Raises:
        UserError: ``boxes`` is not such an array.
    """
    try:
        corners = np.asarray(boxes, np.float64)
    except (TypeError, ValueError):  # ragged, not numeric, or not on the CPU
        corners = np.full((1, 1), np.nan)
    if not corners.size:
        return
    if corners.ndim != 2 or corners.shape[1] < 4 or not np.isfinite(corners[:, :4]).all():
        raise UserError(
            "boxes must be an array (N, 4 or more) on the CPU that starts with finite x1, y1, x2, y2 in pixels; got "
            f"{' '.join(repr(boxes).split()):.100}"
        )
    height, width = frame.shape[:2]
    for x1, y1, x2, y2 in corners[:, :4].round().clip(0, (width, height) * 2).astype(int):
        yield frame[y1:y2, x1:x2]


def list_pictures(images: Any) -> list[Picture]:
    """Turn every accepted form of images into a list of single pictures.

    Args:
        images: a file, a folder, a PIL image, an array (H, W, 3) or (N, H, W, 3), a pair (frame, boxes) as accepted by
            :func:`crops`, or an iterable of files, PIL images and arrays.
    """
    if isinstance(images, (str, os.PathLike)):
        return list(list_folder(images)) if os.path.isdir(images) else [images]
    if isinstance(images, Image.Image):
        return [images]
    if isinstance(images, np.ndarray):
        return list(images) if images.ndim == 4 else [images]
    if isinstance(images, Iterable):
        given: list[Any] = list(images)
        if len(given) == 2 and isinstance(given[0], np.ndarray) and _are_boxes(given[1]):
            return list(crops(*given))
        return given
    raise UserError(f"images must be files, folders, PIL images or arrays; got {type(images).__name__}")


def _are_boxes(given: Any) -> bool:
    return given is None or isinstance(given, (list, tuple)) or getattr(given, "ndim", 0) in (1, 2)


def _from_array(array: NDArray[Any], order: str) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise UserError(f"an image array must be uint8 of shape (H, W, 3); got {array.dtype} of shape {array.shape}")
    if not array.size:
        raise UserError(f"an image array has no pixels: its shape is {array.shape}; a box may lie outside its frame")
    return Image.fromarray(np.ascontiguousarray(array[..., ::-1] if order == "BGR" else array))


def _to_rgb(image: Image.Image) -> Image.Image:
    with contextlib.suppress(Exception):  # EXIF data can be damaged; errors of the picture itself are raised below
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16-bit grey, whose brighter values Pillow would clip
        image = Image.fromarray((np.asarray(image) / 257).round().clip(0, 255).astype(np.uint8))
    if image.mode == "F":
        raise UserError("it has floating-point pixels of unknown range: save it with 8 bits")
    return image.convert("RGB")
