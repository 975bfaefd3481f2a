"""GDNorm's rivals in evidence.py, and variants of GDNorm that the paper leaves open: a plugin for fast-reid.

Importing it registers the backbones, hooks and meta-architectures below, so that configs can name them.
"""

import fastreid_gdnorm  # noqa: F401  before fastreid, which it patches

# isort: split

import torch
from fastreid.engine.hooks import HookBase
from fastreid.layers.batch_norm import IBN, GhostBatchNorm
from fastreid.modeling.backbones import BACKBONE_REGISTRY, build_mobilenetv2_backbone
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from torch import nn

from fastreid_gdnorm.layers import DomainPath, SampledPath
from fastreid_gdnorm.modeling import GDNormBaseline
from fastreid_gdnorm.registries import HOOK_REGISTRY

EARLY = 7  # MobileNetV2's blocks before its last two strides; IBN-a and MixStyle go into these


@BACKBONE_REGISTRY.register()
def build_mobilenetv2_ibn_backbone(cfg):
    """IBN-a (Pan et al. 2018): in early blocks, instance norm for half of the first norm's channels.

    The other half stays BN. Both halves start from that BN's gamma and beta, so that trained weights load.
    """
    backbone = build_mobilenetv2_backbone(cfg)
    for block in backbone.features[2:EARLY]:
        block.conv[1] = _half_instance(block.conv[1])
    return backbone


def _half_instance(bn):
    norm = IBN(bn.num_features, "BN")
    parts = (norm.IN, slice(None, norm.half)), (norm.BN, slice(norm.half, None))
    for part, channels in parts:
        part.weight.data.copy_(bn.weight.data[channels])
        part.bias.data.copy_(bn.bias.data[channels])
    norm.BN.running_mean.copy_(bn.running_mean[norm.half :])
    norm.BN.running_var.copy_(bn.running_var[norm.half :])
    return norm


class MixStyle(nn.Module):
    """Mix statistics in half of the training batches (Zhou et al. 2021, "Domain generalization with MixStyle").

    Every image gets a mean and standard deviation between its own and another image's, weighted by Beta(0.1, 0.1).
    """

    def forward(self, x):
        if not self.training or torch.rand(()) < 0.5:
            return x
        var, mean = torch.var_mean(x.detach(), dim=(2, 3), keepdim=True)
        std = (var + 1e-6).sqrt()
        share = torch.distributions.Beta(0.1, 0.1).sample((len(x), 1, 1, 1)).to(x)
        other = torch.randperm(len(x), device=x.device)
        mixed_mean, mixed_std = (share * own + (1 - share) * own[other] for own in (mean, std))
        return (x - mean) / std * mixed_std + mixed_mean


@BACKBONE_REGISTRY.register()
def build_mobilenetv2_mixstyle_backbone(cfg):
    """MixStyle after the first two stages."""
    backbone = build_mobilenetv2_backbone(cfg)
    for place in (3, EARLY - 1):
        backbone.features[place] = nn.Sequential(backbone.features[place], MixStyle())
    return backbone


@HOOK_REGISTRY.register()
class SampleFromHalf(HookBase):
    """Use no sampled path in the first half of the training."""

    def __init__(self, model, epochs):
        self._model, self._begin, self._num_paths = model, epochs // 2, model.num_paths

    @classmethod
    def from_config(cls, cfg, trainer):
        return cls(trainer.model, cfg.SOLVER.MAX_EPOCH)

    def before_epoch(self):
        self._model.num_paths = self._num_paths if self.trainer.epoch >= self._begin else 0


class _RecordingPath(DomainPath):
    """A domain path that keeps each branch's batch variance, with gradients."""

    def __init__(self, domains):
        super().__init__(domains)
        self.variances = {}

    def normalize(self, layer, x):
        own = x if self._restore is None else x[self._order]
        self.variances[layer] = [part.float().var((0, 2, 3), correction=0) for part in own.split(self.counts)]
        return super().normalize(layer, x)


class _BatchSigmaPath(SampledPath):
    """Eq. 11 with Eq. 9 as printed: sigma without a bar, the batch statistic of the domain path."""

    def __init__(self, scale, noise, variances):
        super().__init__(scale, noise)
        self._variances = variances

    def branches(self, layer):
        weight, bias, mean, _ = layer.stacked()
        a = weight / torch.sqrt(torch.stack(self._variances[layer]) + layer.branches[0].eps)
        return a, bias - a * mean


@META_ARCH_REGISTRY.register()
class GDNormBatchSigma(GDNormBaseline):
    """Sampled paths with the batch's sigma. Every batch must contain images of all domains."""

    def _on_domain_path(self, batch):
        path = _RecordingPath(batch["domains"])
        self._variances = path.variances
        return self._along(path, batch)

    def _on_sampled_path(self, batch):
        return self._along(_BatchSigmaPath(self.scale, self.noise, self._variances), batch)


@BACKBONE_REGISTRY.register()
def build_mobilenetv2_ghost_backbone(cfg):
    """Normalise each third of a batch by itself: with three sources, as many images as one branch gets."""
    backbone = build_mobilenetv2_backbone(cfg)
    for name, bn in [*backbone.named_modules()]:
        if isinstance(bn, nn.BatchNorm2d):
            ghost = GhostBatchNorm(bn.num_features, num_splits=3)
            ghost.load_state_dict(bn.state_dict())
            parent, _, attribute = name.rpartition(".")
            setattr(backbone.get_submodule(parent), attribute, ghost)
    return backbone
