"""The layer: K ordinary ``BatchNorm2d`` branches, and the path that says how to pass through them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from .paths import AffinePath, MeanPath, Path
from .recomputation import PathHistory, in_backward_pass

BRANCHABLE = (nn.BatchNorm2d, nn.SyncBatchNorm)


class GDNorm(nn.Module):
    """Replaces one ``BatchNorm2d`` by K branches, one per source domain (section 3.2).

    Every branch starts as a copy of ``bn``: weights, population statistics, eps, momentum, mode and what is frozen.
    At rest the layer follows the mean path; :func:`follow` puts it on another one. A copy or a pickle of the layer is
    at rest, whatever path it is taken on.

    Args:
        bn: the layer to replace, ``BatchNorm2d`` or ``SyncBatchNorm``; it must keep statistics, be affine and use the
            stock forward. A ``SyncBatchNorm`` becomes branches of ``BatchNorm2d`` that are ``synchronized``.
        num_domains: K, the number of source domains, at least 1.

    Raises:
        ValueError: ``bn`` cannot be branched, or ``num_domains`` is below 1.

    A state dict of the replaced layer (a stock or an ImageNet checkpoint) loads into every branch; one with
    another number of branches is refused. ``path_mean`` and ``path_var``, each (C,) or None, are the statistics of the
    mean path itself; they are in the state dict once a :class:`PooledPath` has taken them. ``image_scatter``, (2,) or
    None, is how much images of one source differ (:meth:`Evidence.scatter`), on average over the sources.
    ``synchronized`` says whether training's batch statistics are of the batches of all processes.
    """

    _path: Path
    history: PathHistory  # of ``path``

    def __init__(self, bn: nn.BatchNorm2d | nn.SyncBatchNorm, num_domains: int) -> None:
        super().__init__()
        if num_domains < 1:
            raise ValueError(f"GDNorm needs at least 1 domain, got {num_domains}")
        reason = why_not_branchable(bn)
        if reason:
            raise ValueError(f"GDNorm cannot branch {type(bn).__name__}: {reason}")
        self.synchronized = isinstance(bn, nn.SyncBatchNorm)
        bn = _plain(bn) if isinstance(bn, nn.SyncBatchNorm) else bn
        branches = nn.ModuleList(copy.deepcopy(bn) for _ in range(num_domains)).train(bn.training)
        self.branches = cast("Sequence[nn.BatchNorm2d]", branches)  # what it holds, which torch's types do not say
        self.training = bn.training
        self.path_mean: Tensor | None
        self.path_var: Tensor | None
        self.register_buffer("path_mean", None)
        self.register_buffer("path_var", None)
        self.image_scatter: Tensor | None
        self.register_buffer("image_scatter", None)
        self._rest()

    @property
    def path(self) -> Path:
        """The path that the layer is on."""
        return self._path

    @path.setter
    def path(self, path: Path) -> None:
        self._path = path
        self.history = self.history.and_now(path)

    @property
    def num_domains(self) -> int:
        """K."""
        return len(self.branches)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W), normalised along the path that the layer is on.

        Raises:
            RuntimeError: it is run again in the backward pass (activation checkpointing) on another path than before.
        """
        if in_backward_pass() and not self.history.is_of_this_backward_pass(self.path):
            raise RuntimeError(
                "activation checkpointing runs a GDNorm layer again on another path than in the forward pass, so its "
                "gradients would be wrong: call backward() inside that pass's `with follow(model, path)`, as "
                "MODEL.GDNORM.EARLY_GRADIENTS True does with checkpoint(..., use_reentrant=False)"
            )
        return self.path.normalize(self, x)

    def stacked(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The branches' gamma, beta, population mean and variance, each (K, C), differentiable."""
        weight, bias, mean, var = (
            torch.stack([getattr(branch, name) for branch in self.branches])
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        return weight, bias, mean, var

    def affine(self) -> tuple[Tensor, Tensor]:
        """The branches as affine maps of their population statistics: (a, b), each (K, C), differentiable."""
        weight, bias, mean, var = self.stacked()
        a = weight / torch.sqrt(var + self.branches[0].eps)  # Eq. 9
        return a, bias - a * mean

    def average_affine(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """(a, b) of the averaged gamma and beta with these statistics, (C,) or (B, C) as they are; differentiable."""
        weight, bias, _, _ = self.stacked()
        a = weight.mean(0) / torch.sqrt(var + self.branches[0].eps)  # Eq. 9 of the averages
        return a, bias.mean(0) - a * mean

    def moments(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean and variance over the branches: (M(a), var(a), M(b), var(b)), each (C,), differentiable."""
        a, b = self.affine()
        return (*_mean_and_variance(a), *_mean_and_variance(b))

    def fold(self, path: AffinePath) -> nn.BatchNorm2d:
        """The stock ``BatchNorm2d`` that computes ``path``'s a*x + b in eval mode.

        Its statistics are those that the path names, so that it also trains on as an ordinary BN would.
        """
        bn = copy.deepcopy(self.branches[0]).train(self.training)
        for name, parameter in bn.named_parameters():
            parameter.requires_grad_(any(getattr(branch, name).requires_grad for branch in self.branches))
        own = bn.state_dict()
        with torch.no_grad():
            a, b = (t.double() for t in path.affine(self))
            mean, var = (t.double() for t in path.statistics(self))
            own["running_mean"].copy_(mean)
            own["running_var"].copy_(var)
            own["weight"].copy_(a * torch.sqrt(var + bn.eps))
            own["bias"].copy_(b + a * mean)
        return bn

    def add_branch(self, path: AffinePath) -> None:
        """One more branch, the last, that is what ``path`` is in this layer."""
        cast("nn.ModuleList", self.branches).append(self.fold(path))
        self.path_mean = self.path_var = None  # of one branch less

    def forget_estimates(self) -> None:
        """Drop what was taken of images, as it is of other weights once training goes on."""
        self.path_mean = self.path_var = self.image_scatter = None

    def spread_stock_state(self, state_dict: dict[str, Any], prefix: str) -> None:
        """Give every branch its own copy of the stock BN that ``state_dict`` has under ``prefix``, if there is one."""
        if any(key.startswith(prefix + "branches.") for key in state_dict):
            return
        for name in self.branches[0].state_dict():
            if prefix + name in state_dict:
                value = state_dict.pop(prefix + name)
                state_dict.update({f"{prefix}branches.{k}.{name}": value.clone() for k in range(self.num_domains)})

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_path", "history")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._rest()

    def _rest(self) -> None:
        self._path = MeanPath()
        self.history = PathHistory.of_rest(self._path)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        branched = prefix + "branches."
        saved = {key[len(branched) :].split(".")[0] for key in state_dict if key.startswith(branched)}
        if saved and len(saved) != self.num_domains:
            raise ValueError(
                f"the checkpoint has {len(saved)} branches in {prefix[:-1]}, this model has {self.num_domains}: "
                "K is the number of DATASETS.NAMES and must be the same; one more source for a trained model is "
                "fastreid train --add-source NAME --from RUN"
            )
        self.spread_stock_state(state_dict, prefix)
        if any(key.startswith(branched) for key in state_dict):  # else those there are stay, as all that is not loaded
            own = cast("Tensor", self.branches[0].running_mean)
            for name, shape in (("path_mean", own.shape), ("path_var", own.shape), ("image_scatter", (2,))):
                value = state_dict.get(prefix + name)
                setattr(self, name, own.new_empty(shape) if value is not None and value.shape == shape else None)
        super()._load_from_state_dict(state_dict, prefix, *args)


def gdnorm_layers(model: nn.Module) -> dict[str, GDNorm]:
    """{name: layer} of every GDNorm layer of ``model``, in the order of its modules."""
    return {name: module for name, module in model.named_modules() if isinstance(module, GDNorm)}


def why_not_branchable(bn: nn.modules.batchnorm._BatchNorm) -> str:
    """Why ``bn`` cannot be branched, as half a sentence; "" if it can."""
    stock = next((kind for kind in BRANCHABLE if isinstance(bn, kind)), None)
    if stock is None:
        return "it is no BatchNorm2d"
    if type(bn).forward is not stock.forward:
        return f"its forward is not that of {stock.__name__}; set the layer's NORM to BN"
    tensors = (bn.weight, bn.bias, bn.running_mean, bn.running_var)
    if any(tensor is None for tensor in tensors):
        return "Eq. 9 needs its gamma, beta and population statistics (affine, bias, track_running_stats)"
    return ""


def _plain(bn: nn.SyncBatchNorm) -> nn.BatchNorm2d:
    plain = nn.BatchNorm2d(bn.num_features, bn.eps, bn.momentum, bn.affine, bn.track_running_stats)
    plain.to(bn.weight).load_state_dict(bn.state_dict())
    for own, of in zip(plain.parameters(), bn.parameters()):
        own.requires_grad_(of.requires_grad)
    return plain.train(bn.training)


def _mean_and_variance(values: Tensor) -> tuple[Tensor, Tensor]:
    mean = values.mean(0)
    return mean, (values - mean).square().mean(0)  # Eq. 10
