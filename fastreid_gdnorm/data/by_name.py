"""Reads the data sets that a config names."""

from __future__ import annotations

import logging
import os
from typing import Any

from fastreid.config import CfgNode
from fastreid.data import build
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import Dataset
from fastreid.utils import comm

from ..errors import UserError
from ..image_loading import is_picture
from .identities import apart
from .own_data import OwnData
from .readers import Reader

logger = logging.getLogger("fastreid.gdnorm.readers")

STOCK_READERS = "fastreid.data.datasets."  # they raise all kinds of errors for bad input
ROOT = build._root  # as fast-reid read it when it was imported


def datasets_root() -> str:
    """The folder of all data sets: the current FASTREID_DATASETS, unless a project has set another in fast-reid."""
    if build._root != ROOT:
        return str(build._root)
    return os.getenv("FASTREID_DATASETS") or "datasets"


def read(cfg: CfgNode, name: str, **kwargs: Any) -> Dataset:
    """Read the data set ``name``, in the variant that the config's DATASETS keys select.

    Args:
        kwargs: passed to its reader.

    Raises:
        UserError: the data set is missing or cannot be read.
    """
    reader = reader_of(name)
    variant = reader.from_config(cfg) if is_read_by(Reader, name) else {}
    if not reader.__module__.startswith(STOCK_READERS):
        return reader(root=datasets_root(), **variant, **kwargs)
    try:
        data = reader(root=datasets_root(), **kwargs)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"data set {name}: fast-reid's own reader cannot read it in {os.path.abspath(datasets_root())} ({error!r})"
        ) from error
    _warn_of_unread(name, data)
    return data


def _warn_of_unread(name: str, data: Dataset) -> None:
    """Warn about images that a stock reader ignores because it reads only ``*.jpg``."""
    folders = filter(None, (getattr(data, f"{part}_dir", None) for part in ("train", "query", "gallery")))
    for folder in filter(os.path.isdir, folders):
        images = sorted(filter(is_picture, os.listdir(folder)))
        unread = [image for image in images if not image.endswith(".jpg")]
        if unread:
            logger.warning(
                "%s: left out %d of %d images in %s, because fast-reid's own reader reads only *.jpg; the first is %s",
                *(name, len(unread), len(images), folder, unread[0]),
            )


def reader_of(name: str) -> Any:
    """The reader of the registered data set ``name``."""
    return DATASET_REGISTRY.get(name)


def is_read_by(kind: type | tuple[type, ...], name: str) -> bool:
    """Whether the registered data set ``name`` is of this kind, or of one of these kinds."""
    reader = DATASET_REGISTRY._obj_map.get(name)
    return isinstance(reader, type) and issubclass(reader, kind)


def read_sources(cfg: CfgNode, **kwargs: Any) -> list[list[tuple[str, Any, Any]]]:
    """The training items of DATASETS.NAMES, one list for each.

    Identities and cameras of different data sets are kept apart, except text that begins with the same
    ``dataset_name``, as fast-reid's readers write it, and the user's own data with DATASETS.OWN.SAME_IDENTITIES.

    Args:
        kwargs: passed to the readers (combineall).
    """
    sources, prefixes = [], []
    for name in cfg.DATASETS.NAMES:
        data = read(cfg, name, **kwargs)
        if comm.is_main_process():
            data.show_train()
        sources.append(data.train)
        is_shared = isinstance(data, OwnData) and data.same_identities
        prefixes.append("" if is_shared else f"{getattr(data, 'dataset_name', name)}_")
    return apart(sources, cfg.DATASETS.NAMES, prefixes)
