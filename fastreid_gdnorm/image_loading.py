"""Pictures of all kinds as networks see them: upright, in RGB, with 8 bits a colour."""

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
LITTER = frozenset(("Thumbs.db", "desktop.ini", "__MACOSX"))  # that systems leave beside images

Picture = Union[str, "os.PathLike[str]", Image.Image, NDArray[np.uint8]]


def read_picture(source: Picture, order: str = "RGB") -> Image.Image:
    """A file, a PIL image or an array (H, W, 3) as an RGB image.

    It is turned upright by its EXIF data, and 16 bits are scaled to 8. Transparency is ignored.

    Args:
        order: "RGB" or "BGR": of the colours in an array.

    Raises:
        UnreadableImage: there is no such file, or it holds no picture that can be shown.
        UserError: the array is not of that kind.
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
    except Exception as error:  # Pillow raises all kinds for damaged files
        raise UnreadableImage(f"cannot read image {source} ({error})") from error


def is_picture(name: str) -> bool:
    """Whether a file's name is that of a picture: by its suffix, in any case, unless the file is hidden."""
    return os.path.splitext(name)[1].lower() in SUFFIXES and not is_litter(name)


def is_litter(name: str) -> bool:
    """Whether a file or folder is hidden, or is one that systems leave beside images."""
    return name.startswith(".") or name in LITTER


def list_folder(folder: str | os.PathLike[str]) -> list[str]:
    """The image files in a folder and those below it, by name; a warning counts the other files.

    Folders that links lead to are searched too, each once. Hidden files and folders are passed over.

    Raises:
        UserError: there is none, or a folder cannot be searched.
    """
    files = [os.path.join(parent, name) for parent, names in _walk(os.fspath(folder)) for name in names]
    found = sorted(file for file in files if is_picture(os.path.basename(file)))
    if not found:
        raise UserError(f"folder {folder} has no image: none of its files ends in {', '.join(sorted(SUFFIXES))}")
    others = sorted(set(files) - set(found))
    if others:
        logger.warning(
            "%s: %d of %d files left out, as their suffixes are not those of images; the first is %s",
            *(folder, len(others), len(files), others[0]),
        )
    return found


def _walk(folder: str) -> Iterator[tuple[str, list[str]]]:
    """Each folder and its files; folders proper come before those that links lead to, and none comes twice."""
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
                    logger.warning("%s leads to a folder above it: not followed", link)
                else:
                    waiting.append(link)


def _refuse(error: OSError) -> None:
    raise UserError(f"cannot search folder {error.filename} ({error.strerror}): change its permissions or name others")


def crops(frame: NDArray[np.uint8], boxes: Any) -> Iterator[NDArray[np.uint8]]:
    """What is in each box of a frame.

    Args:
        frame: (H, W, 3).
        boxes: (N, 4) or more columns, of which the first are x1, y1, x2, y2 in pixels; what lies outside is cut off.
            Of no boxes, any array without elements.

    Yields:
        (height, width, 3), empty where a box has no part in the frame.

    Raises:
        UserError: the boxes are no such array.
    """
    try:
        corners = np.asarray(boxes, np.float64)
    except (TypeError, ValueError):  # ragged, not of numbers, or not on the CPU
        corners = np.full((1, 1), np.nan)
    if not corners.size:
        return
    if corners.ndim != 2 or corners.shape[1] < 4 or not np.isfinite(corners[:, :4]).all():
        raise UserError(
            "boxes are an array (N, 4) or (N, more) on the CPU that begins with finite x1, y1, x2, y2 in pixels; "
            f"got {' '.join(repr(boxes).split()):.100}"
        )
    height, width = frame.shape[:2]
    for x1, y1, x2, y2 in corners[:, :4].round().clip(0, (width, height) * 2).astype(int):
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
        if len(given) == 2 and isinstance(given[0], np.ndarray) and _are_boxes(given[1]):
            return list(crops(*given))
        return given
    raise UserError(f"images are files, folders, PIL images or arrays, not {type(images).__name__}")


def _are_boxes(given: Any) -> bool:
    return given is None or isinstance(given, (list, tuple)) or getattr(given, "ndim", 0) in (1, 2)


def _from_array(array: NDArray[Any], order: str) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise UserError(f"an image array is uint8 of shape (H, W, 3); got {array.dtype} of shape {array.shape}")
    if not array.size:
        raise UserError(f"an image array has no pixels: its shape is {array.shape}; a box may lie outside of its frame")
    return Image.fromarray(np.ascontiguousarray(array[..., ::-1] if order == "BGR" else array))


def _to_rgb(image: Image.Image) -> Image.Image:
    with contextlib.suppress(Exception):  # damaged EXIF data; what is wrong with the picture is raised below
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits of grey, of which Pillow would cut off the brighter ones
        image = Image.fromarray((np.asarray(image) / 257).round().clip(0, 255).astype(np.uint8))
    if image.mode == "F":
        raise UserError("it has floating-point pixels, of which nobody knows the range: save it with 8 bits")
    return image.convert("RGB")
