"""Paths: one choice of (a, b) for every layer of the network.

A path has ``normalize(layer, x)``, which a :class:`GDNorm` layer calls; those that are one affine map for all
images also have ``affine(layer)``, so that they can be folded into a stock BN.
"""

import torch
import torch.nn.functional as F


class AffinePath:
    """A path that treats all images alike: a*x + b with (a, b) = ``affine(layer)``, each (C,)."""

    def affine(self, layer):
        raise NotImplementedError

    def normalize(self, layer, x):
        """x: (B, C, H, W) of any float type, which is the result's too. No statistics are taken or moved."""
        a, b = self.affine(layer)
        # one kernel for a*x + b that takes half-precision x with full-precision a and b
        return F.batch_norm(x, torch.zeros_like(a), torch.ones_like(a), a, b, training=False, eps=0.0)


class MeanPath(AffinePath):
    """The mean of the Gaussian process: M(a), M(b) (Eq. 10); the resting state, and the path of testing."""

    def affine(self, layer):
        a, b = layer.affine()
        return a.mean(0), b.mean(0)


class SourcePath(AffinePath):
    """One source domain's branch with its population statistics (Eq. 8).

    Args:
        k: the domain's number, from 0; its place in DATASETS.NAMES.
    """

    def __init__(self, k):
        self.k = k

    def affine(self, layer):
        if not 0 <= self.k < layer.num_domains:
            raise ValueError(f"no source {self.k}: the model has the sources 0 to {layer.num_domains - 1}")
        a, b = layer.affine()
        return a[self.k], b[self.k]


class SampledPath(AffinePath):
    """One path drawn from the Gaussian process (Eq. 11), differentiable in every branch's gamma and beta.

    What is drawn, once for each layer, is the noise; a and b follow the branches as these are trained. So the
    same object is the same path, through however many passes.

    Args:
        scale: lambda.
        noise: what scales the noise: "variance", as Eq. 11 prints it, or "std", the usual reading.
        generator: source of the noise; the global one of the layer's device if None.

    Raises:
        ValueError: ``noise`` is neither of the two.
    """

    def __init__(self, scale=0.6, noise="variance", generator=None):
        if noise not in ("variance", "std"):
            raise ValueError(f"noise is 'variance' or 'std', got {noise!r}")
        self.scale = scale
        self.noise = noise
        self.generator = generator
        self._drawn = {}

    def affine(self, layer):
        a, b = layer.affine()
        if layer not in self._drawn:
            device = self.generator.device if self.generator else a.device
            self._drawn[layer] = torch.randn(2, a.shape[1], generator=self.generator, device=device).to(a)
        return tuple(
            values.mean(0) + self.scale * self._spread(values) * epsilon  # Eq. 11
            for values, epsilon in zip((a, b), self._drawn[layer])
        )

    def _spread(self, values):
        deviation = values - values.mean(0)
        if self.noise == "variance":
            return deviation.square().mean(0)
        # not sqrt(variance), whose gradient is infinite where the branches agree
        return torch.linalg.vector_norm(deviation, dim=0) / len(values) ** 0.5


class DomainPath:
    """Each image through its own domain's branch (Eq. 5).

    In training mode with the statistics of that domain's images in the batch (Eq. 6), which also move the branch's
    running statistics (Eq. 7); in eval mode with its population statistics. Branches of domains that are not in
    the batch stay untouched.

    Args:
        domains: LongTensor (B,), the images' domains in any order.

    ``present`` are the domains in the batch and ``counts`` their numbers of images. Set ``moves_statistics`` False
    to go the same way once more, as recomputing activations does.
    """

    def __init__(self, domains):
        self.domains = domains
        self.moves_statistics = True
        self._order = torch.argsort(domains, stable=True)
        present, counts = torch.unique(domains, return_counts=True)
        self.present = present.tolist()
        self.counts = counts.tolist()
        self._restore = None
        if not torch.equal(self._order, torch.arange(len(domains), device=domains.device)):
            self._restore = torch.argsort(self._order)

    def normalize(self, layer, x):
        """x: (B, C, H, W).

        Raises:
            ValueError: a domain's number is not below K, or a single value per channel is left to take
                statistics of.
        """
        if not 0 <= self.present[0] <= self.present[-1] < layer.num_domains:
            raise ValueError(f"the batch has the domains {self.present}, the model has {layer.num_domains} branches")
        if self._restore is not None:
            x = x[self._order]
        parts = []
        for k, part in zip(self.present, x.split(self.counts)):
            branch = layer.branches[k]
            if branch.training and part.numel() == part.shape[1]:
                raise ValueError(f"domain {k} has a single image in the batch, too few for batch statistics")
            if branch.training and not self.moves_statistics:
                copies = branch.running_mean.clone(), branch.running_var.clone()  # move in place of the branch's own
                parts.append(F.batch_norm(part, *copies, branch.weight, branch.bias, training=True, eps=branch.eps))
            else:
                parts.append(branch(part))
        out = torch.cat(parts)
        return out if self._restore is None else out[self._restore]
