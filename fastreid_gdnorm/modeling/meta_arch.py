"""Meta-architectures that train along the domain path and sampled paths, and test along the mean path."""

import contextlib

import torch
from fastreid.config import configurable
from fastreid.modeling.meta_arch import Baseline
from fastreid.modeling.meta_arch.mgn import MGN
from fastreid.utils.events import EventStorage
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..errors import UserError
from ..layers import DomainPath, SampledPath, follow
from ..mends.training import copy_images
from .backbone import convert
from .test_path import parse_test_path


class GDNormTraining:
    """Mixed into a stock meta-architecture, whose own forward it calls once for every path.

    Args:
        scale: lambda of Eq. 11.
        noise: what scales its noise, "variance" or "std".
        num_paths: sampled paths in a training step, 0 or more.
        recompute: whether the domain path's activations are computed anew in the backward pass, rather than kept;
            by then those of sampled paths are gone. Without sampled paths it would save nothing and is not done.
        test_paths: paths of testing; features are averaged over them.
        stock: the arguments of the stock meta-architecture, its modules converted.
    """

    @configurable
    def __init__(self, *, scale, noise, num_paths, recompute, test_paths, **stock):
        super().__init__(**stock)
        self.scale = scale
        self.noise = noise
        self.num_paths = num_paths
        self.recompute = recompute
        self.test_paths = test_paths

    @classmethod
    def from_config(cls, cfg):
        """The constructor's arguments.

        Raises:
            UserError: a key of MODEL.GDNORM has none of its values, or the model has a BN that takes no branches.
        """
        gdnorm = cfg.MODEL.GDNORM
        if gdnorm.NOISE not in ("variance", "std"):
            raise UserError(f"MODEL.GDNORM.NOISE is variance or std, got {gdnorm.NOISE!r}")
        if gdnorm.NUM_PATHS < 0:
            raise UserError(f"MODEL.GDNORM.NUM_PATHS is 0 or more, got {gdnorm.NUM_PATHS}")
        if cfg.TEST.PRECISE_BN.ENABLED:
            raise UserError(
                "TEST.PRECISE_BN.ENABLED knows no domains: set it False, and SOLVER.HOOKS to ('DomainPreciseBN',)"
            )
        stock = cfg.clone()
        stock.defrost()
        if cfg.MODEL.BACKBONE.NAME == "build_gdnorm_backbone":
            stock.MODEL.BACKBONE.NAME = gdnorm.BACKBONE
        arguments = super().from_config(stock)
        for name, module in arguments.items():
            is_head = "head" in name
            if isinstance(module, nn.Module) and (not is_head or (gdnorm.HEADS and _has_bn(module))):
                arguments[name] = convert(module, cfg, f"{cls.__name__}'s {name} ({type(module).__name__})")
        return {
            **arguments,
            "scale": gdnorm.LAMBDA,
            "noise": gdnorm.NOISE,
            "num_paths": gdnorm.NUM_PATHS,
            "recompute": gdnorm.RECOMPUTE,
            "test_paths": parse_test_path(gdnorm.TEST_PATH, cfg),
        }

    def forward(self, batched_inputs):
        """Losses by name in training, features (B, D) in testing; ``batched_inputs`` as fast-reid's loaders make."""
        if not self.training:
            return self.embed(batched_inputs, self.test_paths)
        if "domains" not in batched_inputs:
            raise UserError(
                "the training batch has no 'domains', LongTensor (B,): build the loader with fast-reid's "
                "build_reid_train_loader(cfg), best with DATALOADER.SAMPLER_TRAIN DomainBalancedIdentitySampler"
            )
        path = DomainPath(batched_inputs["domains"])
        if 1 in path.counts:
            raise UserError(
                f"a training batch has {dict(zip(path.present, path.counts))} images of the domains, and statistics "
                "need 2: set DATALOADER.SAMPLER_TRAIN DomainBalancedIdentitySampler, or a larger batch"
            )
        if self.recompute and self.num_paths:
            losses = checkpoint(self._losses_on_domain_path, path, batched_inputs, use_reentrant=False)
        else:
            losses = self._losses_on_domain_path(path, batched_inputs)
        sampled = [self._losses_on_sampled_path(batched_inputs) for _ in range(self.num_paths)]
        if sampled:
            losses.update({f"{name}_path": torch.stack([each[name] for each in sampled]).mean() for name in losses})
        return losses

    def embed(self, batched_inputs, paths):
        """Features (B, D) in eval mode, averaged over ``paths``."""
        features = []
        for path in paths:
            with follow(self, path):
                features.append(super().forward(batched_inputs))
        return features[0] if len(features) == 1 else torch.stack(features).mean(0)

    def preprocess_image(self, batched_inputs):
        """The stock method on a copy, as it works in place and every path has to begin with the images themselves.

        The copy is in channels-last order, which the network keeps and convolutions are faster in.
        """
        return super().preprocess_image(copy_images(batched_inputs, torch.channels_last))

    def _losses_on_domain_path(self, path, batched_inputs):
        storage = contextlib.nullcontext() if path.moves_statistics else EventStorage()  # logs once
        with follow(self, path), storage:
            losses = super().forward(batched_inputs)
        path.moves_statistics = False
        return losses

    def _losses_on_sampled_path(self, batched_inputs):
        # what the stock forward logs, its accuracy, is for the domain path: here into a storage that is dropped
        with follow(self, SampledPath(self.scale, self.noise)), EventStorage():
            return super().forward(batched_inputs)


def _has_bn(module):
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in module.modules())


class GDNormBaseline(GDNormTraining, Baseline):
    """``Baseline`` with GDNorm: MODEL.META_ARCHITECTURE GDNormBaseline."""


class GDNormMGN(GDNormTraining, MGN):
    """``MGN`` with GDNorm: MODEL.META_ARCHITECTURE GDNormMGN."""
