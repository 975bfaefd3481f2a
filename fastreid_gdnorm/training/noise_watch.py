"""A warning when sampled paths diverge in training."""

from __future__ import annotations

import logging
from typing import Any

import torch
from fastreid.engine.hooks import HookBase

from ..layers import GDNorm, gdnorm_layers

LIMIT = 10  # the largest relative_noise without a warning
logger = logging.getLogger("fastreid.gdnorm.noise")


class NoiseWatch(HookBase):
    """Warns once, after the first epoch in which a layer's noise is more than ``LIMIT`` times M(a).

    Variance has the unit of a^2. If a channel is silent (constant) in one source, Eq. 9 gives a = gamma / sqrt(eps) =
    316 gamma, so the variance of a reaches tens of thousands. With NOISE std, the noise is at most lambda sqrt(K - 1)
    |M(a)| if the gammas share one sign, so the hook does nothing.

    The hook reads the running statistics after every epoch. It must run before DomainPreciseBN replaces them; then the
    warning does not depend on when the model is tested or saved. It changes nothing. A resumed training warns again.

    Args:
        model: a GDNormTraining.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._has_warned = False

    def after_epoch(self) -> None:
        model = self._model
        if self._has_warned or model.noise != "variance" or not model.num_paths:
            return
        layers = gdnorm_layers(model)
        noise = {name: relative_noise(layer, model.scale) for name, layer in layers.items()}
        worst = max(noise, key=lambda name: noise[name])
        if noise[worst] > LIMIT:
            self._has_warned = True
            logger.warning(
                "Sampled paths are diverging: in %s, the noise by variance (Eq. 11) is %.0f times the mean, because "
                "some channels are nearly constant in one of the sources (a reaches %.0f). Set MODEL.GDNORM.NOISE std",
                *(worst, noise[worst], float(layers[worst].affine()[0].detach().abs().max())),
            )


@torch.no_grad()
def relative_noise(layer: GDNorm, scale: float, noise: str = "variance") -> float:
    """The noise of a in Eq. 11 relative to M(a): a ratio of root mean squares over channels, weighted by var(x).

    The ratio does not depend on the unit of the layer's output. It is 0 if the branches agree.

    Args:
        scale, noise: as in SampledPath.
    """
    mean_a, spread, _, _ = layer.moments()
    spread = scale * (spread if noise == "variance" else spread.sqrt())
    var_x = layer.stacked()[3].mean(0)
    of_mean, of_noise = (float((values.square() * var_x).sum().sqrt()) for values in (mean_a, spread))
    return of_noise / of_mean if of_noise else 0.0
