"""From the names in a config to data sets."""

from __future__ import annotations

import os
from typing import Any

from fastreid.config import CfgNode
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import Dataset
from fastreid.utils import comm

from .readers import Reader


def datasets_root() -> str:
    """The folder that holds the data sets, as FASTREID_DATASETS names it now."""
    return os.getenv("FASTREID_DATASETS", "datasets")


def read(cfg: CfgNode, name: str, **kwargs: Any) -> Dataset:
    """The data set of that name, in the variant that the config's DATASETS keys say; ``kwargs`` go to its reader."""
    reader = DATASET_REGISTRY.get(name)
    variant = reader.from_config(cfg) if is_read_by(Reader, name) else {}
    return reader(root=datasets_root(), **variant, **kwargs)


def is_read_by(kind: type, name: str) -> bool:
    """Whether the registered data set ``name`` is a class of that kind."""
    reader = DATASET_REGISTRY._obj_map.get(name)
    return isinstance(reader, type) and issubclass(reader, kind)


def read_sources(cfg: CfgNode, **kwargs: Any) -> list[list[tuple[str, Any, Any]]]:
    """The training items of DATASETS.NAMES, a list for each; ``kwargs`` go to the readers (combineall)."""
    sources = []
    for name in cfg.DATASETS.NAMES:
        data = read(cfg, name, **kwargs)
        if comm.is_main_process():
            data.show_train()
        sources.append(data.train)
    return sources
