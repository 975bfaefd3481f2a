"""Mends of fastreid.data: devices, loaders, worker processes, data sets."""

import functools
import os

import torch

from ..errors import UserError
from .tools import rebind, source_has


def datasets_root():
    """The folder that holds the data sets, as it is set now."""
    return os.getenv("FASTREID_DATASETS", "datasets")


def on_device(loader, cfg):
    """A DataLoaderX whose batches stay on the CPU if MODEL.DEVICE is there, also on a machine with CUDA."""
    if cfg.MODEL.DEVICE == "cpu":
        loader.stream = None
    return loader


def mend_device():
    from fastreid.config.defaults import _C

    if _C.MODEL.DEVICE == "cuda" and not torch.cuda.is_available():
        _C.MODEL.DEVICE = "cpu"


def mend_loader():
    from fastreid.data import common, data_utils
    from torch.utils.data import DataLoader

    loader, prefetch = data_utils.DataLoaderX, data_utils.BackgroundGenerator
    stock_iter = loader.__iter__

    def init(self, local_rank, **kwargs):
        has_cuda = torch.cuda.is_available()
        DataLoader.__init__(self, **{**kwargs, "pin_memory": has_cuda and kwargs.get("pin_memory", False)})
        self.local_rank = local_rank
        self.stream = torch.cuda.Stream(local_rank) if has_cuda else None  # None: batches stay on the CPU

    def iterate(self):
        return DataLoader.__iter__(self) if self.stream is None else stock_iter(self)

    if source_has(loader.__init__, "torch.cuda.Stream(") and not source_has(loader.__init__, "is_available"):
        loader.__init__, loader.__iter__ = init, iterate

    stock_run, stock_next = prefetch.run, prefetch.next

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

    if not source_has(prefetch.run, "except"):
        prefetch.error, prefetch.run, prefetch.next = None, run, next_item

    stock_read = common.read_image

    @functools.wraps(stock_read)
    def read_image(file_name, format=None):
        try:
            return stock_read(file_name, format)
        except Exception as error:  # Pillow raises all kinds for damaged files
            raise UserError(f"cannot read image {file_name} ({error}): replace it or take it away") from error

    common.read_image = read_image


def mend_workers():
    from fastreid.data import CommDataset

    # the first thing that a worker process unpickles is _restore, which imports and mends
    CommDataset.__reduce__ = lambda self: (_restore, (type(self), vars(self)))


def _restore(kind, state):
    dataset = kind.__new__(kind)
    vars(dataset).update(state)
    return dataset


def mend_data_sets():
    import fastreid.data
    from fastreid.config import CfgNode
    from fastreid.data import build
    from fastreid.data.datasets.bases import Dataset
    from fastreid.engine import defaults

    def with_root_and_device_of_now(stock):
        @functools.wraps(stock)
        def build_loader(*args, **kwargs):
            build._root = datasets_root()
            result = stock(*args, **kwargs)
            if args and isinstance(args[0], CfgNode):
                on_device(result[0] if isinstance(result, tuple) else result, args[0])
            return result

        return build_loader

    if hasattr(build, "_root"):
        for name in ("build_reid_train_loader", "build_reid_test_loader"):
            rebind(name, with_root_and_device_of_now(getattr(build, name)), build, fastreid.data, defaults)

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
