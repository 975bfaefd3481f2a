"""The Gaussian process: the moments of every layer's a and b, indexed by depth (section 3.3)."""

from collections import namedtuple

from .gdnorm import gdnorm_layers

Moments = namedtuple("Moments", "mean_a var_a mean_b var_b")
Moments.__doc__ = "One layer's M(a), variance of a, M(b), variance of b (Eq. 10), each (C,)."


class GaussianProcess:
    """The process that a model's branches span: ``len`` is its depth L, iterating gives (name, Moments).

    It is a view: what it gives follows the model, and is differentiable.

    Raises:
        ValueError: the model has no GDNorm layer.
    """

    def __init__(self, model):
        self.layers = gdnorm_layers(model)
        if not self.layers:
            raise ValueError(f"{type(model).__name__} has no GDNorm layer: convert it with convert_gdnorm")

    def __len__(self):
        return len(self.layers)

    def __getitem__(self, name):
        return Moments(*self.layers[name].moments())

    def __iter__(self):
        return ((name, self[name]) for name in self.layers)

    def spread(self):
        """How far the branches lie apart: means over layers of the channels' mean variance, as (of a, of b)."""
        variances = [(moments.var_a.mean(), moments.var_b.mean()) for _, moments in self]
        return tuple(float(sum(of_layer)) / len(self) for of_layer in zip(*variances))
