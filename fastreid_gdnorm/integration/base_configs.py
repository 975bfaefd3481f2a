"""Finds the ``_BASE_`` of a downloaded config: where the named file does not exist, its copy beside the config.

The configs of fast-reid's repository name their base by its place there, ``../Base-bagtricks.yml``. Whoever downloads
one for a trained model puts both into the model's folder.
"""

from __future__ import annotations

import functools
import logging
import os
from contextvars import ContextVar
from typing import Any

from fastreid.config import CfgNode

logger = logging.getLogger("fastreid.gdnorm.configs")

_config: ContextVar[str] = ContextVar("_config", default="")  # the config whose _BASE_ is being read


def connect() -> None:
    """If a ``_BASE_`` does not exist, read the file of its name in the config's own folder, and log that."""
    stock = CfgNode.load_yaml_with_base

    @functools.wraps(stock)
    def load_yaml_with_base(filename: str, allow_unsafe: bool = False) -> Any:
        config = _config.get()
        beside = os.path.join(os.path.dirname(config), os.path.basename(filename))
        is_missing = config and "://" not in filename and not os.path.exists(filename)
        if is_missing and beside != config and os.path.isfile(beside):
            logger.info("%s: its _BASE_ %s does not exist, taking %s", config, filename, beside)
            filename = beside
        before = _config.set(str(filename))
        try:
            return stock(filename, allow_unsafe=allow_unsafe)
        finally:
            _config.reset(before)

    CfgNode.load_yaml_with_base = staticmethod(load_yaml_with_base)
