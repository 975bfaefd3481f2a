"""Patch of fastreid.config: configs are files, never URLs."""

import functools

from ..errors import UserError
from .tools import source_has


def patch_config():
    """A config file, or its ``_BASE_``, may be a URL: what a run does then depends on a server."""
    from fastreid.config import CfgNode

    stock = CfgNode.load_yaml_with_base

    @functools.wraps(stock)
    def load_yaml_with_base(filename, allow_unsafe=False):
        if "://" in str(filename):
            raise UserError(f"{filename} is a URL: download the config, read it and name the copy, also as _BASE_")
        return stock(filename, allow_unsafe=allow_unsafe)

    if source_has(stock, '"https://"'):
        CfgNode.load_yaml_with_base = staticmethod(load_yaml_with_base)  # stock calls it for every _BASE_ too
