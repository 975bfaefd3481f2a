"""The posterior path: the Gaussian process given unlabelled images of the target."""

from __future__ import annotations

import contextlib
import fnmatch
import operator
from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .branched_norm import BranchedNorm
from .eval_mode import evaluating
from .following import forward_along
from .gdnorm import gdnorm_layers
from .image_statistics import Evidence, ImageStatistics
from .paths import AffinePath, Path


class Prior(NamedTuple):
    """What the K branches predict about a new domain's statistics, in double precision.

    Args:
        mean, log_var: the mean and log(var + eps), averaged over the branches, each (C,).
        spread: (2,), tau^2: the unbiased variances of these two between the branches, averaged over channels; that of
            the mean is in units of the channel's variance. 0 for K = 1.
        scatter: (2,), v: how much images of one domain differ, in the same units; None if it was never measured.
        eps: the eps of the layer's BN.
    """

    mean: Tensor
    log_var: Tensor
    spread: Tensor
    scatter: Tensor | None
    eps: float

    @classmethod
    def of(cls, layer: BranchedNorm) -> Prior:
        """The prior of a layer, from its branches."""
        _, _, mean, var = (values.detach().double() for values in layer.stacked())
        eps = layer.branches[0].eps
        log_var = torch.log(var + eps)
        freedom = max(layer.num_domains - 1, 1)
        of_mean, of_log_var = ((values - values.mean(0)).square().sum(0) / freedom for values in (mean, log_var))
        spread = torch.stack([(of_mean / log_var.mean(0).exp()).mean(), of_log_var.mean()])
        scatter = layer.image_scatter
        return cls(mean.mean(0), log_var.mean(0), spread, None if scatter is None else scatter.double(), eps)

    def given(self, evidence: Evidence) -> LayerPosterior:
        """The posterior means of the statistics; the prior's, if how much images differ is unknown.

        With one image, ``evidence`` can be (B, C), for B images each on its own.
        """
        n, scatter = evidence.images, self.scatter
        if n == 1 and scatter is not None:  # unknown from one image: assume that of the sources
            evidence = evidence._replace(between=scatter[0] * self.log_var.exp())
        elif n == 1:
            return self.alone()
        weight = self.weight(n, evidence.scatter() if scatter is None else scatter)
        mean = self.mean + weight[0] * (evidence.mean - self.mean)
        log_var = self.log_var + weight[1] * (evidence.log_var() - self.log_var)
        return LayerPosterior(mean, torch.exp(log_var) - self.eps, weight)

    def weight(self, images: int, scatter: Tensor) -> Tensor:
        """(2,): w = tau^2 / (tau^2 + v / n), 0 where the branches agree."""
        weight = self.spread / (self.spread + scatter / images)
        return torch.where(self.spread > 0, weight, 0.0)

    def alone(self) -> LayerPosterior:
        """The statistics without any image."""
        return LayerPosterior(self.mean, torch.exp(self.log_var) - self.eps, torch.zeros_like(self.spread))


class LayerPosterior(NamedTuple):
    """A layer's statistics given the images, each (C,) in double precision.

    ``weight``, (2,), is the weight of the images in the mean and in log(var + eps), from 0 to 1.
    """

    mean: Tensor
    var: Tensor
    weight: Tensor


class PosteriorPath(AffinePath):
    """The mean of the Gaussian process given n unlabelled images of the target domain.

    The paper tests along the mean of the process before anything is known about the target (Eq. 10): the prior mean.
    Here a statistic t of a layer, which is the population mean or log(variance + eps), has the posterior mean

        t = t_prior + w (t_images - t_prior),    w = tau^2 / (tau^2 + v / n)

    where t_prior is the average over the branches, tau^2 the variance between them, and v / n the sampling variance of
    a statistic of n images. v is measured on the sources' images if training has stored it (``GDNorm.image_scatter``),
    else on the n images. gamma and beta are averages over the branches. There is nothing to tune.

    This is empirical Bayes: a normal model with two levels, domains and images, whose variances are estimated by
    moments. A layer has one w for its means and one for its variances, as in James-Stein shrinkage (Efron and Morris
    1973, "Stein's estimation rule and its competitors", JASA 68). K branches or a few images are too few to estimate
    the variances of a single channel, so tau^2 and v are averages over channels, in units of the channels' variances.

    The model assumes that the target differs from the sources as these differ from each other, and that its images are
    independent and differ from each other as the sources' images do. It does not know what the images show: if the
    target differs from the sources in content rather than in appearance, its statistics mislead.

    Without images, this is the prior; with one image too, if v is unknown. With more and more images, it approaches the
    target's own statistics.

    Args:
        layers: {name: LayerPosterior} of every GDNorm layer.
        images: n.

    Raises:
        ValueError: when it is followed or folded, if the model has other layers.

    Example:
        >>> model = convert_gdnorm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), num_domains=3)
        >>> with torch.no_grad():  # as training would, make the branches differ
        ...     model[1].branches[0].running_mean += 1
        >>> path = PosteriorPath.from_images(model, torch.randn(16, 3, 16, 8))
        >>> path.images
        16
        >>> stock = fold_gdnorm(model, path)
    """

    def __init__(self, layers: Mapping[str, LayerPosterior], images: int) -> None:
        self.layers = dict(layers)
        self.images = images
        self._of_layer: dict[BranchedNorm, LayerPosterior] = {}

    @classmethod
    def from_images(cls, model: nn.Module, images: Any, prior_only: Sequence[str] = ()) -> PosteriorPath:
        """Estimate a domain's path from its unlabelled images.

        Layers are estimated one after the other, each on the output of the layers before it. A single batch takes one
        pass. Several batches take one pass per layer, which ends at that layer: about L / 2 full passes for L layers,
        in the memory of one batch. Up to rounding, neither the order of the images nor their batches matter.

        Args:
            model: a model with GDNorm layers. It is called in eval mode, and does not change.
            images: input of the model: a tensor (n, 3, H, W), a dict that holds one as ``images``, or a loader or list
                of these, which must support repeated iteration. Batches can be empty. Without images, n = 0, the path
                is the prior.
            prior_only: names of layers, or patterns such as ``heads.*``, that keep the prior's statistics.

        Raises:
            ValueError: the model does not show how domains differ (it has no GDNorm layer, one branch only, or
                identical branches); a pattern matches no layer; or ``images`` can be iterated only once.
        """
        layers = gdnorm_layers(model)
        check_branches(model, layers)
        fixed = {name for pattern in prior_only for name in fnmatch.filter(layers, pattern)}
        unknown = [pattern for pattern in prior_only if not fnmatch.filter(layers, pattern)]
        if unknown:
            raise ValueError(f"no GDNorm layer matches {unknown[0]!r}; the layers are {', '.join(layers)}")
        path = cls({name: Prior.of(layer).alone() for name, layer in layers.items()}, 0)
        batches = [images] if isinstance(images, (Tensor, dict)) else images
        if isinstance(batches, Iterator) and not isinstance(batches, Sized):  # a loader may be its own iterator
            raise ValueError("images can be iterated only once, but each layer needs them: pass a list or a loader")
        unsettled: dict[BranchedNorm, str] = {layer: name for name, layer in layers.items() if name not in fixed}
        with evaluating(model), torch.no_grad():
            while unsettled:
                measuring = _Measuring(path, unsettled, is_single=operator.length_hint(batches, 2) == 1)
                for batch in batches:
                    if len(batch["images"] if isinstance(batch, dict) else batch):
                        measuring.run(model, batch)
                if not measuring.settle():
                    break
        return path

    def start(self, layers: Mapping[str, BranchedNorm]) -> None:
        wrong = [name for name, layer in layers.items() if not self._fits(name, layer)]
        if wrong or len(layers) != len(self.layers):
            raise ValueError(
                f"this posterior path belongs to another model: it does not fit layer {(wrong or [*self.layers])[0]}"
            )
        self._of_layer.update((layer, self.layers[name]) for name, layer in layers.items())

    def affine(self, layer: BranchedNorm) -> tuple[Tensor, Tensor]:
        return layer.average_affine(*self.statistics(layer))

    def statistics(self, layer: BranchedNorm) -> tuple[Tensor, Tensor]:
        own, like = self._of_layer[layer], layer.branches[0].running_mean
        return own.mean.to(like), own.var.to(like)

    def settle(self, layer: BranchedNorm, name: str, evidence: Evidence) -> None:
        """Set the statistics of a layer from the evidence of the images."""
        self.images = evidence.images
        self.layers[name] = self._of_layer[layer] = Prior.of(layer).given(evidence)

    def _fits(self, name: str, layer: BranchedNorm) -> bool:
        return name in self.layers and len(self.layers[name].mean) == layer.branches[0].num_features


class _Measuring(Path):
    """Follows a posterior path through the settled layers, and measures the input of the next layer.

    The pass ends there. But if the batch is the only one, the layer is settled at once and the pass continues.
    """

    def __init__(self, path: PosteriorPath, unsettled: dict[BranchedNorm, str], is_single: bool) -> None:
        self._path, self._unsettled, self._is_single = path, unsettled, is_single
        self._layer: BranchedNorm | None = None

    def start(self, layers: Mapping[str, BranchedNorm]) -> None:
        self._path.start(layers)

    def run(self, model: nn.Module, batch: Any) -> None:
        """Add a batch."""
        with contextlib.suppress(_Reached):
            forward_along(model, batch, self)

    def normalize(self, layer: BranchedNorm, x: Tensor) -> Tensor:
        if layer in self._unsettled:
            if self._layer is None:
                self._layer, self._statistics = layer, ImageStatistics(Prior.of(layer).mean)
            self._statistics.add(x)
            if not self._is_single:
                raise _Reached
            self.settle()
        return self._path.normalize(layer, x)

    def settle(self) -> bool:
        """Settle the layer that was measured. False if no pass has reached one."""
        layer, self._layer = self._layer, None
        if layer is None:
            return False
        evidence = self._statistics.evidence(layer.branches[0].eps)
        self._path.settle(layer, self._unsettled.pop(layer), evidence)
        return True


class _Reached(Exception):
    """Ends a pass at the layer to measure."""


def branches_agree(model: nn.Module) -> bool:
    """Whether all branches have the same statistics, as after converting a stock model."""
    spreads = (values.std(0) for layer in gdnorm_layers(model).values() for values in layer.stacked()[2:])
    return not any(spread.any() for spread in spreads)


def check_branches(model: nn.Module, layers: Mapping[str, BranchedNorm]) -> None:
    """Raise ValueError if the branches do not show how domains differ."""
    if not layers:
        raise ValueError(f"{type(model).__name__} has no GDNorm layer: convert it with convert_gdnorm")
    if min(layer.num_domains for layer in layers.values()) < 2:
        raise ValueError("a model with one branch does not show how domains differ: use one with two or more")
    if branches_agree(model):
        raise ValueError("all branches have the same statistics: measure those of each source first")
