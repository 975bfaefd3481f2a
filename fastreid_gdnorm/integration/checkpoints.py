"""The seam at fast-reid's checkpoints: a stock one goes to every branch."""

import functools

from fastreid.utils.checkpoint import Checkpointer, _strip_prefix_if_present

from ..layers import gdnorm_layers


def connect():
    """A stock checkpoint is spread over the branches before stock loads it, which skips what does not fit, as ever."""
    stock_load = Checkpointer._load_model

    @functools.wraps(stock_load)
    def load_model(self, checkpoint):
        layers = gdnorm_layers(self.model)
        if layers:
            state = checkpoint["model"]
            self._convert_ndarray_to_tensor(state)
            _strip_prefix_if_present(state, "module.")
        for name, layer in layers.items():
            layer.spread_stock_state(state, f"{name}.")
        return stock_load(self, checkpoint)

    Checkpointer._load_model = load_model
