"""A training whose sampled paths come apart says so."""

import logging

import torch
from fastreid.engine.hooks import HookBase

from ..layers import gdnorm_layers

LIMIT = 10  # of relative_noise
logger = logging.getLogger("fastreid.gdnorm.noise")


class NoiseWatch(HookBase):
    """Warns once, after the first epoch with more than ``LIMIT`` times as much noise as M(a) in a layer.

    Variance has the unit of a^2. Where a channel is silent in one source, Eq. 9 gives an a of gamma / sqrt(eps), which
    is 316 gamma, and so a variance of a in the ten thousands. By std, noise is at most lambda sqrt(K - 1) |M(a)| where
    gammas have one sign, and nothing is watched.

    It looks at the statistics that training has after every epoch, so it goes before DomainPreciseBN, and no test or
    checkpoint matters to it. It changes nothing. A resumed training warns anew.

    Args:
        model: a GDNormTraining.
    """

    def __init__(self, model):
        self._model = model
        self._said = False

    def after_epoch(self):
        model = self._model
        if self._said or model.noise != "variance" or not model.num_paths:
            return
        layers = gdnorm_layers(model)
        noise = {name: relative_noise(layer, model.scale) for name, layer in layers.items()}
        worst = max(noise, key=noise.get)
        if noise[worst] > LIMIT:
            self._said = True
            logger.warning(
                "Sampled paths are coming apart: in %s, noise by variance (Eq. 11) is %.0f times what it is added to, "
                "as some channels are silent in one of the sources (a up to %.0f). Set MODEL.GDNORM.NOISE std",
                *(worst, noise[worst], float(layers[worst].affine()[0].detach().abs().max())),
            )


@torch.no_grad()
def relative_noise(layer, scale, noise="variance"):
    """Eq. 11's noise of a, relative to M(a): root mean squares over channels, each weighed by how much its x varies.

    So it does not depend on the unit of the layer's output. It is 0 where the branches agree.

    Args:
        layer: a GDNorm.
        scale, noise: as of SampledPath.
    """
    mean_a, spread, _, _ = layer.moments()
    spread = scale * (spread if noise == "variance" else spread.sqrt())
    var_x = layer.stacked()[3].mean(0)
    of_mean, of_noise = (float((values.square() * var_x).sum().sqrt()) for values in (mean_a, spread))
    return of_noise / of_mean if of_noise else 0.0
