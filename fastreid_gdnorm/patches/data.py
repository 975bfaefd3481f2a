"""Patches of fastreid.data and of the default device."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any

import torch
from PIL import Image

from ..errors import MissingFile, UnreadableImage, UserError
from ..image_loading import read_picture
from .tools import Overlay, rebind, source_has


def patch_device() -> None:
    """``MODEL.DEVICE`` is CUDA by default, also on machines without CUDA."""
    from fastreid.config.defaults import _C

    if _C.MODEL.DEVICE == "cuda" and not torch.cuda.is_available():
        _C.MODEL.DEVICE = "cpu"


def patch_loader() -> None:
    """``DataLoaderX`` needs CUDA."""
    from fastreid.data.data_utils import DataLoaderX
    from torch.utils.data import DataLoader

    stock_iter = DataLoaderX.__iter__

    def init(self: Any, local_rank: int, **kwargs: Any) -> None:
        has_cuda = torch.cuda.is_available()
        DataLoader.__init__(self, **{**kwargs, "pin_memory": has_cuda and kwargs.get("pin_memory", False)})
        self.local_rank = local_rank
        self.stream = torch.cuda.Stream(local_rank) if has_cuda else None  # None: batches stay on the CPU

    def iterate(self: Any) -> Iterator[Any]:
        batches: Iterator[Any] = DataLoader.__iter__(self) if self.stream is None else stock_iter(self)
        return batches

    if source_has(DataLoaderX.__init__, "torch.cuda.Stream(") and not source_has(DataLoaderX.__init__, "is_available"):
        DataLoaderX.__init__, DataLoaderX.__iter__ = init, iterate


def patch_prefetch() -> None:
    """After an error in the prefetching thread, such as an unreadable image, the loader hangs."""
    from fastreid.data.data_utils import BackgroundGenerator

    stock_run, stock_next = BackgroundGenerator.run, BackgroundGenerator.next

    def run(self: Any) -> None:
        try:
            stock_run(self)
        except Exception as error:
            self.error = error
            self.queue.put(None)

    def next_item(self: Any) -> Any:
        try:
            return stock_next(self)
        except StopIteration:
            if self.error is not None:
                raise self.error from None
            raise

    if not source_has(stock_run, "except"):
        BackgroundGenerator.error, BackgroundGenerator.run, BackgroundGenerator.next = None, run, next_item


def patch_images() -> None:
    """Palette images are read as indices, modes other than RGB and L fail, and errors do not name the file."""
    from fastreid.data import common, data_utils
    from fastreid.utils.file_io import PathManager

    stock_read = data_utils.read_image
    takes_raw_pixels = source_has(stock_read, "image = np.asarray(image)")

    @functools.wraps(stock_read)
    def read_image(file_name: str, format: str | None = None) -> Any:
        try:
            if format is not None or not takes_raw_pixels:
                return stock_read(file_name, format)
            with PathManager.open(file_name, "rb") as file, Image.open(file) as image:
                return read_picture(image)
        except Exception as error:  # Pillow raises all kinds for damaged files
            kind = MissingFile if isinstance(error, FileNotFoundError) else UnreadableImage
            raise kind(f"cannot read image {file_name} ({error}): replace or remove it") from error

    rebind("read_image", read_image, common, data_utils)


def patch_affine() -> None:
    """``INPUT.AFFINE.ENABLED`` fails, because torchvision has renamed two arguments of ``RandomAffine``."""
    from fastreid.data.transforms import build

    stock = build.T.RandomAffine

    @functools.wraps(stock)
    def random_affine(*args: Any, resample: Any, fillcolor: Any, **kwargs: Any) -> Any:
        return stock(*args, fill=fillcolor, **kwargs)  # resample False, the nearest pixel, is torchvision's default

    if source_has(build, "resample=False") and "resample" not in inspect.signature(stock).parameters:
        build.T = Overlay(build.T, RandomAffine=random_affine)


def patch_data_sets() -> None:
    """The error for a missing data set does not say where fast-reid looks for it."""
    from fastreid.data.datasets.bases import Dataset

    stock_check = Dataset.check_before_run

    @functools.wraps(stock_check)
    def check_before_run(self: Any, required_files: Any) -> None:
        try:
            stock_check(self, required_files)
        except RuntimeError as error:
            raise UserError(
                f"data set {type(self).__name__}: {error}; set FASTREID_DATASETS to the folder that holds the data sets"
            ) from error

    Dataset.check_before_run = check_before_run
