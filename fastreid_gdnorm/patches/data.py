"""Patches of fastreid.data, and of the device that configs name: loaders, worker processes, data sets."""

import functools
import inspect

import torch
from PIL import Image

from ..errors import MissingFile, UnreadableImage, UserError
from ..image_loading import read_picture
from .tools import Overlay, rebind, source_has


def patch_device():
    """The default ``MODEL.DEVICE`` is CUDA even on machines without it."""
    from fastreid.config.defaults import _C

    if _C.MODEL.DEVICE == "cuda" and not torch.cuda.is_available():
        _C.MODEL.DEVICE = "cpu"


def patch_loader():
    """``DataLoaderX`` needs CUDA."""
    from fastreid.data.data_utils import DataLoaderX
    from torch.utils.data import DataLoader

    stock_iter = DataLoaderX.__iter__

    def init(self, local_rank, **kwargs):
        has_cuda = torch.cuda.is_available()
        DataLoader.__init__(self, **{**kwargs, "pin_memory": has_cuda and kwargs.get("pin_memory", False)})
        self.local_rank = local_rank
        self.stream = torch.cuda.Stream(local_rank) if has_cuda else None  # None: batches stay on the CPU

    def iterate(self):
        return DataLoader.__iter__(self) if self.stream is None else stock_iter(self)

    if source_has(DataLoaderX.__init__, "torch.cuda.Stream(") and not source_has(DataLoaderX.__init__, "is_available"):
        DataLoaderX.__init__, DataLoaderX.__iter__ = init, iterate


def patch_prefetch():
    """An error in the prefetching thread, such as an unreadable image, makes the loader wait for ever."""
    from fastreid.data.data_utils import BackgroundGenerator

    stock_run, stock_next = BackgroundGenerator.run, BackgroundGenerator.next

    def run(self):
        try:
            stock_run(self)
        except Exception as error:
            self.error = error
            self.queue.put(None)

    def next_item(self):
        try:
            return stock_next(self)
        except StopIteration:
            if self.error is not None:
                raise self.error from None
            raise

    if not source_has(stock_run, "except"):
        BackgroundGenerator.error, BackgroundGenerator.run, BackgroundGenerator.next = None, run, next_item


def patch_images():
    """Palettes are read as their indices, modes beside RGB and L not at all, and errors do not name the file."""
    from fastreid.data import common, data_utils
    from fastreid.utils.file_io import PathManager

    stock_read = data_utils.read_image
    takes_raw_pixels = source_has(stock_read, "image = np.asarray(image)")

    @functools.wraps(stock_read)
    def read_image(file_name, format=None):
        try:
            if format is not None or not takes_raw_pixels:
                return stock_read(file_name, format)
            with PathManager.open(file_name, "rb") as file, Image.open(file) as image:
                return read_picture(image)
        except Exception as error:  # Pillow raises all kinds for damaged files
            kind = MissingFile if isinstance(error, FileNotFoundError) else UnreadableImage
            raise kind(f"cannot read image {file_name} ({error}): replace it or take it away") from error

    rebind("read_image", read_image, common, data_utils)


def patch_affine():
    """INPUT.AFFINE.ENABLED fails, as torchvision has renamed ``fillcolor`` of ``RandomAffine`` and ``resample``."""
    from fastreid.data.transforms import build

    stock = build.T.RandomAffine

    @functools.wraps(stock)
    def random_affine(*args, resample, fillcolor, **kwargs):
        return stock(*args, fill=fillcolor, **kwargs)  # resample is False there, the nearest pixel, as by default

    if source_has(build, "resample=False") and "resample" not in inspect.signature(stock).parameters:
        build.T = Overlay(build.T, RandomAffine=random_affine)


def patch_data_sets():
    """The error about a missing data set does not say how to tell fastreid where it is."""
    from fastreid.data.datasets.bases import Dataset

    stock_check = Dataset.check_before_run

    @functools.wraps(stock_check)
    def check_before_run(self, required_files):
        try:
            stock_check(self, required_files)
        except RuntimeError as error:
            raise UserError(
                f"data set {type(self).__name__}: {error}; FASTREID_DATASETS names the folder that holds the data sets"
            ) from error

    Dataset.check_before_run = check_before_run
