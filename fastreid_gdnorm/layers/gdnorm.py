"""The layer: branches, and the path that the input takes through them."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn

from .branched_norm import BranchedNorm
from .paths import AffinePath, MeanPath, Path
from .recomputation import PathHistory, in_backward_pass


class GDNorm(BranchedNorm):
    """Replaces one ``BatchNorm2d`` by K branches, one per source domain (section 3.2).

    Every branch starts as a copy of ``bn``. By default the layer follows the mean path; :func:`follow` puts it on
    another one. A copied or unpickled layer is on the mean path, whatever path the original was on.

    The state dict of the layer that was replaced (a stock or an ImageNet checkpoint) loads into every branch. A
    checkpoint with another number of branches is refused.

    Arguments, attributes and errors are those of :class:`BranchedNorm`.

    Example:
        >>> layer = GDNorm(nn.BatchNorm2d(8), num_domains=3)
        >>> layer(torch.randn(4, 8, 16, 8)).shape
        torch.Size([4, 8, 16, 8])
        >>> sorted(layer.state_dict())[:2]
        ['branches.0.bias', 'branches.0.num_batches_tracked']
    """

    _path: Path
    history: PathHistory  # of ``path``

    def __init__(self, bn: nn.BatchNorm2d | nn.SyncBatchNorm, num_domains: int) -> None:
        super().__init__(bn, num_domains)
        self._reset_path()

    @property
    def path(self) -> Path:
        """The path that the layer is on."""
        return self._path

    @path.setter
    def path(self, path: Path) -> None:
        self._path = path
        self.history = self.history.and_now(path)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (B, C, H, W) along the layer's path.

        Raises:
            RuntimeError: activation checkpointing runs the layer again in the backward pass, on a different path than
                in the forward pass.
        """
        if in_backward_pass() and not self.history.is_of_this_backward_pass(self.path):
            raise RuntimeError(
                "activation checkpointing runs a GDNorm layer again, on a different path than in the forward pass, so "
                "its gradients would be wrong: call backward() inside that pass's `with follow(model, path)`, as "
                "MODEL.GDNORM.EARLY_GRADIENTS True does with checkpoint(..., use_reentrant=False)"
            )
        return self.path.normalize(self, x)

    def fold(self, path: AffinePath) -> nn.BatchNorm2d:
        """The stock ``BatchNorm2d`` that computes the path's a*x + b in eval mode.

        Its running statistics are those of the path, so training can continue with it as with any BN.
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
        """Append a branch that equals ``path`` in this layer."""
        cast("nn.ModuleList", self.branches).append(self.fold(path))
        self.path_mean = self.path_var = None  # measured with one branch less

    def forget_estimates(self) -> None:
        """Discard statistics estimated from images; further training makes them stale."""
        self.path_mean = self.path_var = self.image_scatter = None

    def spread_stock_state(self, state_dict: dict[str, Any], prefix: str) -> None:
        """Replace a stock BN under ``prefix`` of ``state_dict``, if there is one, by a copy for every branch."""
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
        self._reset_path()

    def _reset_path(self) -> None:
        self._path = MeanPath()
        self.history = PathHistory.starting_on(self._path)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        branched = prefix + "branches."
        saved = {key[len(branched) :].split(".")[0] for key in state_dict if key.startswith(branched)}
        if saved and len(saved) != self.num_domains:
            raise ValueError(
                f"the checkpoint has {len(saved)} branches in {prefix[:-1]}, this model has {self.num_domains}: set "
                "DATASETS.NAMES to as many sources as the checkpoint was trained on; to add a source to a trained "
                "model, use fastreid train --add-source NAME --from RUN"
            )
        self.spread_stock_state(state_dict, prefix)
        if any(key.startswith(branched) for key in state_dict):  # a checkpoint without this layer changes nothing in it
            own = cast("Tensor", self.branches[0].running_mean)
            for name, shape in (("path_mean", own.shape), ("path_var", own.shape), ("image_scatter", (2,))):
                value = state_dict.get(prefix + name)
                setattr(self, name, own.new_empty(shape) if value is not None and value.shape == shape else None)
        super()._load_from_state_dict(state_dict, prefix, *args)


def gdnorm_layers(model: nn.Module) -> dict[str, GDNorm]:
    """{name: layer} of every GDNorm layer of ``model``, in the order of its modules."""
    return {name: module for name, module in model.named_modules() if isinstance(module, GDNorm)}
