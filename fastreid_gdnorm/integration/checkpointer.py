"""Loading checkpoints: every branch gets the weights of a stock checkpoint."""

from __future__ import annotations

import functools
import logging
from typing import Any

from fastreid.utils.checkpoint import Checkpointer, _strip_prefix_if_present

from ..layers import gdnorm_layers
from ..runs.settings import BRANCHED, SOURCES

logger = logging.getLogger("fastreid.gdnorm.checkpoints")


def connect() -> None:
    """Copy a stock checkpoint's BN to every branch. Then stock loads it, and skips what does not fit."""
    stock_load = Checkpointer._load_model

    @functools.wraps(stock_load)
    def load_model(self: Any, checkpoint: Any) -> Any:
        layers, settings = gdnorm_layers(self.model), checkpoint.get("settings")
        if layers:
            state = checkpoint["model"]
            self._convert_ndarray_to_tensor(state)
            _strip_prefix_if_present(state, "module.")
        if layers and settings and settings[BRANCHED]:
            logger.info("The checkpoint has branches for %s, in this order", ", ".join(settings[SOURCES]))
        for name, layer in layers.items():
            layer.spread_stock_state(state, f"{name}.")
        return stock_load(self, checkpoint)

    Checkpointer._load_model = load_model
