"""Meta-architectures that train along the domain path and sampled paths, and test along the mean path."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from fastreid.config import CfgNode, configurable
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY, Baseline
from fastreid.modeling.meta_arch.mgn import MGN
from fastreid.utils.events import EventStorage, get_event_storage
from torch import Tensor, nn

from ..config import completed
from ..errors import UserError
from ..layers import DomainPath, Path, SampledPath, follow, gdnorm_layers
from ..layers.distributed import all_ranks, broadcast_from_rank0, gather_rows
from ..layers.running_statistics import copy_statistics, restore_statistics
from .backbone import convert
from .batches import Batch, balanced, by_domain, copy_images
from .classifiers import is_classifier
from .early_gradients import EarlyGradients, say_late
from .path_names import TestPath, parse_test_path

if TYPE_CHECKING:
    from fastreid.modeling.meta_arch import Baseline as Stock  # or any other meta-architecture
else:
    Stock = object


class Pass(NamedTuple):
    """A path, and the losses and logged scalars along it."""

    losses: dict[str, Tensor]
    scalars: dict[str, Any]
    path: Path


class GDNormTraining(Stock):
    """A mixin for a stock meta-architecture, whose forward it calls once for every path.

    Args:
        scale: lambda in Eq. 11.
        noise: what scales the noise in Eq. 11, "variance" or "std".
        num_paths: sampled paths per training step, 0 or more.
        full_batches: whether a training batch holds a full batch of every domain (DATALOADER.DOMAIN_BATCH full).
        early_gradients: whether to compute the gradients of each pass before the next pass begins, so that only one
            pass's activations are in memory. In half precision, the trainer must set ``loss_scale``. If early gradients
            are impossible (see :class:`EarlyGradients`), the log says why.
        mean_of: what the mean path averages; see :class:`MeanPath`.
        new_branch_only: whether to train the last branch and the classifiers alone. All other statistics stay fixed
            too.
        test_paths: the paths that tests follow, or functions that choose one for each batch. Features are averaged over
            them.
        stock: the arguments of the stock meta-architecture, with converted modules.
    """

    @configurable
    def __init__(
        self,
        *,
        scale: float,
        noise: str,
        num_paths: int,
        full_batches: bool,
        early_gradients: bool,
        mean_of: str,
        new_branch_only: bool,
        test_paths: Sequence[TestPath],
        **stock: Any,
    ) -> None:
        super().__init__(**stock)
        self.scale = scale
        self.noise = noise
        self.num_paths = num_paths
        self.full_batches = full_batches
        self.early_gradients = early_gradients
        self.loss_scale: float | None = None
        self.mean_of = mean_of
        self.new_branch_only = new_branch_only
        if new_branch_only:
            self._freeze_all_but_new_branch()
        self.test_paths = test_paths

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """The constructor's arguments.

        Raises:
            UserError: a key of MODEL.GDNORM has an invalid value, or a BN of the model cannot be branched.
        """
        cfg = completed(cfg)
        gdnorm = cfg.MODEL.GDNORM
        if gdnorm.NOISE not in ("variance", "std"):
            raise UserError(f"MODEL.GDNORM.NOISE must be variance or std; got {gdnorm.NOISE!r}")
        if gdnorm.NUM_PATHS < 0:
            raise UserError(f"MODEL.GDNORM.NUM_PATHS must be 0 or more; got {gdnorm.NUM_PATHS}")
        if cfg.TEST.PRECISE_BN.ENABLED:
            raise UserError(
                "TEST.PRECISE_BN.ENABLED ignores domains: set it False, and SOLVER.HOOKS to ('DomainPreciseBN',)"
            )
        stock = cfg.clone()
        stock.defrost()
        if cfg.MODEL.BACKBONE.NAME == "build_gdnorm_backbone":
            stock.MODEL.BACKBONE.NAME = gdnorm.BACKBONE
        arguments = super().from_config(stock)
        for name, module in arguments.items():
            is_head = "head" in name
            if isinstance(module, nn.Module) and (not is_head or (gdnorm.HEADS and _has_bn(module))):
                norm = cfg.MODEL.HEADS.NORM if is_head else cfg.MODEL.BACKBONE.NORM
                arguments[name] = convert(module, cfg, norm, f"{cls.__name__}'s {name} ({type(module).__name__})")
        return {
            **arguments,
            "scale": gdnorm.LAMBDA,
            "noise": gdnorm.NOISE,
            "num_paths": gdnorm.NUM_PATHS,
            "full_batches": cfg.DATALOADER.DOMAIN_BATCH == "full",
            "early_gradients": gdnorm.EARLY_GRADIENTS,
            "mean_of": gdnorm.MEAN_OF,
            "new_branch_only": gdnorm.NEW_BRANCH_ONLY,
            "test_paths": parse_test_path(gdnorm.TEST_PATH, cfg),
        }

    def forward(self, batched_inputs: Batch) -> dict[str, Tensor] | Tensor:
        """Losses by name in training, features (B, D) in testing.

        ``batched_inputs`` is a batch of fast-reid's loaders. A folded model behaves like the stock one.
        """
        layers = gdnorm_layers(self)
        if not layers:
            stock: dict[str, Tensor] | Tensor = super().forward(batched_inputs)
            return stock
        if not self.training:
            return self.embed(batched_inputs, self.test_paths)
        _check_domains(batched_inputs, all(layer.synchronized for layer in layers.values()))
        for layer in layers.values():
            layer.forget_estimates()
        batches = by_domain(batched_inputs) if self.full_batches else [batched_inputs]
        runs = [functools.partial(self._on_domain_path, batch) for batch in batches]
        if self.num_paths:
            batch = balanced(batched_inputs) if self.full_batches else batched_inputs
            runs += [functools.partial(self._on_sampled_path, batch)] * self.num_paths
        shares = [1 / len(batches)] * len(batches) + [1 / max(1, self.num_paths)] * self.num_paths
        early = EarlyGradients(self.parameters(), self.loss_scale or 1.0)
        take = self.early_gradients and self._is_scale_known(batched_inputs["targets"].device)
        passes = []
        for run, share in zip(runs, shares):
            one = run()
            if take:
                with follow(self, one.path), EventStorage():
                    one = one._replace(losses=early.take(one.losses, share))
            passes.append(one)
        losses = {**self._log(passes[: len(batches)]), **self._log(passes[len(batches) :], "_path")}
        return early.attach(losses)

    def embed(self, batched_inputs: Batch | Tensor, paths: Sequence[TestPath]) -> Tensor:
        """Features (B, D) in eval mode, averaged over ``paths``."""
        features = []
        for path in paths:
            with follow(self, path if isinstance(path, Path) else path(self, batched_inputs)):
                features.append(super().forward(batched_inputs))
        return features[0] if len(features) == 1 else torch.stack(features).mean(0)

    def preprocess_image(self, batched_inputs: Batch | Tensor) -> Tensor:
        """The stock method on a copy of the images: it works in place, and every path needs the originals.

        The copy is in channels-last order, which makes convolutions faster.
        """
        images: Tensor = super().preprocess_image(copy_images(batched_inputs, torch.channels_last))
        return images

    def train(self, mode: bool = True) -> GDNormTraining:
        """Set training mode; frozen BN keeps using its population statistics."""
        super().train(mode)
        if mode and self.new_branch_only:
            new = {layer.branches[-1] for layer in gdnorm_layers(self).values()}
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm) and module not in new:
                    module.eval()
        return self

    def _freeze_all_but_new_branch(self) -> None:
        new = {id(p) for layer in gdnorm_layers(self).values() for p in layer.branches[-1].parameters()}
        for name, parameter in self.named_parameters():
            if id(parameter) not in new and not is_classifier(name, parameter):
                parameter.requires_grad_(False)

    def _is_scale_known(self, device: torch.device) -> bool:
        known = self.loss_scale is not None or not torch.is_autocast_enabled(device.type)
        if not known:
            say_late("the trainer does not set loss_scale, its factor for losses in half precision")
        return known

    def _on_domain_path(self, batch: Batch) -> Pass:
        return self._along(DomainPath(batch["domains"]), batch)

    def _on_sampled_path(self, batch: Batch) -> Pass:
        path, device = SampledPath(self.scale, self.noise), batch["targets"].device
        path.start(gdnorm_layers(self))
        broadcast_from_rank0(path.drawn())  # all processes follow the same path
        in_half = torch.is_autocast_enabled(device.type)
        before = copy_statistics(self) if in_half else {}
        one = self._along(path, batch)
        if in_half and not all_ranks(all(torch.isfinite(loss) for loss in one.losses.values()), device):
            del one  # frees its graph
            restore_statistics(self, before)  # BN without branches has updated its own
            # a*x + b is not normalised, and can leave the range of half precision
            with torch.autocast(device.type, enabled=False):
                one = self._along(path, batch)
        return one._replace(scalars={**one.scalars, "largest_a": path.largest_a})

    def _along(self, path: Path, batch: Batch) -> Pass:
        """Run the stock forward along a path."""
        with follow(self, path), EventStorage() as storage:
            losses = super().forward(batch)
        _check_losses(losses)
        return Pass(losses, {name: value for name, (value, _) in storage.latest().items()}, path)

    @staticmethod
    def _log(passes: Sequence[Pass], suffix: str = "") -> dict[str, Tensor]:
        """The losses averaged over passes, {name + suffix: scalar tensor}; log their scalars, averaged too.

        A loss that a pass lacks counts as 0.
        """
        losses, scalars = _by_name(one.losses for one in passes), _by_name(one.scalars for one in passes)
        storage = get_event_storage()
        for name, values in scalars.items():
            storage.put_scalar(name + suffix, sum(values) / len(values))
        return {name + suffix: torch.stack(values).sum() / len(passes) for name, values in losses.items()}


def _by_name(each: Iterable[dict[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for one in each:
        for name, value in one.items():
            found.setdefault(name, []).append(value)
    return found


def _check_losses(losses: dict[str, Tensor]) -> None:
    if not losses:
        raise UserError("the model has no losses: name some in MODEL.LOSSES.NAME")
    for name, loss in losses.items():
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            is_of = f"a tensor {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
            raise UserError(f"the model's loss {name} is {is_of}: make it a tensor with one number")


def _check_domains(batch: Batch, of_all_processes: bool) -> None:
    if "domains" not in batch:
        raise UserError(
            "the training batch has no 'domains', a LongTensor (B,): build the loader with fast-reid's "
            "build_reid_train_loader(cfg), preferably with DATALOADER.SAMPLER_TRAIN DomainBalancedIdentitySampler"
        )
    both = torch.stack((batch["domains"], batch["targets"]), 1)
    both = gather_rows(both) if of_all_processes else both
    domains, identities = both[:, 0], torch.unique(both, dim=0)[:, 0]
    for what, domain_of_each in (("images", domains), ("identities", identities)):
        counts = dict(zip(*(found.tolist() for found in torch.unique(domain_of_each, return_counts=True))))
        if 1 in counts.values():
            raise UserError(
                f"the numbers of {what} by domain in a training batch are {counts}, but a branch needs at least 2: set "
                "DATALOADER.SAMPLER_TRAIN DomainBalancedIdentitySampler, or a larger batch"
            )


def _has_bn(module: nn.Module) -> bool:
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in module.modules())


def is_gdnorm(cfg: CfgNode) -> bool:
    """Whether a config's MODEL.META_ARCHITECTURE is a class with GDNorm, whatever its name."""
    meta_arch = META_ARCH_REGISTRY._obj_map.get(cfg.MODEL.META_ARCHITECTURE)
    return isinstance(meta_arch, type) and issubclass(meta_arch, GDNormTraining)


class GDNormBaseline(GDNormTraining, Baseline):
    """``Baseline`` with GDNorm: MODEL.META_ARCHITECTURE GDNormBaseline."""


class GDNormMGN(GDNormTraining, MGN):
    """``MGN`` with GDNorm: MODEL.META_ARCHITECTURE GDNormMGN."""
