"""Patch of fastreid.config: a config is a file, never a URL."""

from __future__ import annotations

import functools
from typing import Any

from ..errors import UserError
from .tools import source_has


def patch_config() -> None:
    """A config, or its ``_BASE_``, may be a URL, which is opened like a file."""
    from fastreid.config import CfgNode

    stock = CfgNode.load_yaml_with_base

    @functools.wraps(stock)
    def load_yaml_with_base(filename: str, allow_unsafe: bool = False) -> Any:
        if "://" in str(filename):
            raise UserError(f"{filename} is a URL: download the config, read it, and name the copy, also in _BASE_")
        return stock(filename, allow_unsafe=allow_unsafe)

    if source_has(stock, '"https://"'):
        CfgNode.load_yaml_with_base = staticmethod(load_yaml_with_base)  # stock calls it for every _BASE_ too
