"""Patches of fast-reid's networks: where RegNet and EffNet look for files, and a pooling layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from .tools import source_has


def patch_regnet() -> None:
    """RegNet and EffNet look for their YAML files in the working directory."""
    import fastreid
    from fastreid.modeling.backbones.regnet import regnet

    installed_in = Path(fastreid.__file__).parent.parent
    stock_merge = regnet.regnet_cfg.merge_from_file  # EffNet's config is the same object

    def merge_from_file(cfg_filename: str) -> None:
        stock_merge(str(installed_in / cfg_filename))

    if source_has(regnet, "'fastreid/modeling/backbones/regnet/"):
        object.__setattr__(regnet.regnet_cfg, "merge_from_file", merge_from_file)


def patch_flatten() -> None:
    """The pooling layer Flatten fails for channels-last features."""
    from fastreid.layers import pooling

    def forward(self: Any, input: Tensor) -> Tensor:
        return input.reshape(input.size(0), -1, 1, 1)

    if source_has(pooling.Flatten.forward, "input.view("):
        pooling.Flatten.forward = forward
