"""Ways to train that recipe.py compares: a plugin for fast-reid, like variants.py.

Importing it registers the meta-architectures, hooks and samplers below, so that configs can name them.
"""

import fastreid_gdnorm  # noqa: F401  before fastreid, which it patches

# isort: split

import torch
import torch.nn.functional as F
from fastreid.engine.hooks import HookBase
from fastreid.modeling.losses import cross_entropy_loss
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

from fastreid_gdnorm.data import DomainBalancedIdentitySampler
from fastreid_gdnorm.layers import Path, SampledPath, SourcePath, gdnorm_layers
from fastreid_gdnorm.layers.eval_mode import evaluating
from fastreid_gdnorm.modeling import GDNormBaseline
from fastreid_gdnorm.registries import HOOK_REGISTRY, SAMPLER_REGISTRY


class StatisticsSampledPath(SampledPath):
    """Sampled in (gamma, beta, mu, log sigma^2) by standard deviations; without noise, MEAN_OF statistics."""

    def _draw(self, layer):
        weight = layer.branches[0].weight
        return torch.randn(4, len(weight), device=weight.device)

    def affine(self, layer):
        if layer not in self._of_layer:
            self._of_layer[layer] = self._draw(layer)
        weight, bias, mean, var = layer.stacked()
        gamma, beta, mu, log_shift = (
            centre + self.scale * spread(values) * epsilon
            for centre, values, epsilon in zip(
                (weight.mean(0), bias.mean(0), mean.mean(0), 0.0),
                (weight, bias, mean, (var + layer.branches[0].eps).log()),
                self._of_layer[layer],
            )
        )
        a = gamma / torch.sqrt((var.mean(0) + layer.branches[0].eps) * log_shift.exp())
        largest = a.detach().abs().max()
        self.largest_a = largest if self.largest_a is None else torch.maximum(self.largest_a, largest)
        return a, beta - a * mu


class BatchSampledPath(StatisticsSampledPath):
    """The whole batch's statistics with the averaged gamma and beta, perturbed by the spread over domains.

    Without noise it is the path of MEAN_OF path. With noise it does what DSU (Li et al. 2022) does, but by domain.
    """

    def normalize(self, layer, x):
        weight, bias, mean, var = layer.stacked()
        out = F.batch_norm(x, None, None, weight.mean(0), bias.mean(0), training=True, eps=layer.branches[0].eps)
        with torch.no_grad():
            self.largest_a = torch.zeros((), device=x.device)
        if not self.scale:
            return out
        # in units of the batch: x_hat * s + d, where s and d vary around 1 and 0 as the domains' statistics do
        eps = layer.branches[0].eps
        deviation = torch.sqrt(var.mean(0) + eps)
        shift = self.scale * spread(mean) / deviation * self._of_layer[layer][2]
        stretch = (0.5 * self.scale * spread((var + eps).log()) * self._of_layer[layer][3]).exp()
        gamma, beta = weight.mean(0)[:, None, None], bias.mean(0)[:, None, None]
        return (out - beta) * stretch[:, None, None] + beta + gamma * shift[:, None, None]


def spread(values):
    """The standard deviation over the branches, (K, C) to (C,), with a finite gradient where they agree."""
    return torch.linalg.vector_norm(values - values.mean(0), dim=0) / float(len(values) ** 0.5)


class OfKind(GDNormBaseline):
    kind = SampledPath

    def _on_sampled_path(self, batch):
        path = self.kind(self.scale, self.noise)
        return self._along(path, batch)


@META_ARCH_REGISTRY.register()
class GDNormStatistics(OfKind):
    kind = StatisticsSampledPath


@META_ARCH_REGISTRY.register()
class GDNormBatch(OfKind):
    kind = BatchSampledPath


@META_ARCH_REGISTRY.register()
class GDNormBatchOwnClasses(GDNormBatch):
    """The identity loss only compares identities of the image's own domain, which OwnClasses sets."""

    def losses(self, outputs, gt_labels):
        found = super().losses(outputs, gt_labels)
        logits, domains = outputs["cls_outputs"], self.class_domains.to(gt_labels.device)
        own = domains[gt_labels]
        loss = 0
        for domain in torch.unique(own).tolist():
            rows, classes = own == domain, torch.nonzero(domains == domain).flatten()
            targets = torch.searchsorted(classes, gt_labels[rows])
            share = rows.float().mean()
            loss = loss + share * cross_entropy_loss(
                logits[rows][:, classes], targets, self.loss_kwargs["ce"]["eps"], 0.2
            )
        found["loss_cls"] = loss
        return found


@META_ARCH_REGISTRY.register()
class GDNormDistilled(GDNormBatch):
    """On the whole batch's statistics, the network also learns the ensemble's features, those of all source paths."""

    ensemble = None

    def _on_sampled_path(self, batch):
        num_domains = next(iter(gdnorm_layers(self).values())).num_domains
        with torch.no_grad(), evaluating(self):
            self.ensemble = sum(F.normalize(self.embed(batch, [SourcePath(k)])) for k in range(num_domains))
        try:
            return super()._on_sampled_path(batch)
        finally:
            self.ensemble = None

    def losses(self, outputs, gt_labels):
        found = super().losses(outputs, gt_labels)
        if self.ensemble is not None:
            features = self.heads.bottleneck(outputs["features"][..., None, None])[..., 0, 0]
            found["loss_ensemble"] = 1 - F.cosine_similarity(features, self.ensemble).mean()
        return found


@HOOK_REGISTRY.register()
class OwnClasses(HookBase):
    @classmethod
    def from_config(cls, cfg, trainer):
        data = trainer.data_loader.dataset
        domains = torch.full((data.num_classes,), -1)
        for (_, pid, *_), domain in zip(data.img_items, data.domains):
            domains[data.pid_dict[pid]] = domain
        trainer.model.class_domains = domains
        return cls()


@HOOK_REGISTRY.register()
class AveragedWeights(HookBase):
    """Replace the weights at the end by their exponential average over about a tenth of the training."""

    def __init__(self, model):
        self._model, self._average = model, None

    @classmethod
    def from_config(cls, cfg, trainer):
        return cls(trainer.model)

    @torch.no_grad()
    def after_step(self):
        share = 10 / (self.trainer.max_iter + 1)
        own = {name: p for name, p in self._model.named_parameters() if p.requires_grad}
        if self._average is None:
            self._average = {name: p.detach().clone() for name, p in own.items()}
        for name, p in own.items():
            self._average[name].lerp_(p.detach(), share)

    @torch.no_grad()
    def after_epoch(self):
        if self.trainer.epoch + 1 == self.trainer.max_epoch:
            for name, p in self._model.named_parameters():
                if name in self._average:
                    p.data.copy_(self._average[name])


@SAMPLER_REGISTRY.register()
class OneDomainInTurn(DomainBalancedIdentitySampler):
    """Each batch comes from one domain, in turn, as META (Xu et al. 2022) trains."""

    @classmethod
    def from_config(cls, cfg, train_set):
        cfg = cfg.clone()
        cfg.defrost()
        cfg.DATALOADER.DOMAIN_BATCH = "full"
        return super().from_config(cfg, train_set)


class ScatteredBatchPath(Path):
    """The whole batch's statistics, perturbed for each image by how far the batch's domains differ.

    Of the branches it uses only the averaged gamma and beta. Each image has its own sample, as in DSU (Li et al. 2022),
    with the deviation over domains instead of over images.
    """

    def __init__(self, domains, scale):
        self._scale = scale
        self._of_domain = torch.nn.functional.one_hot(domains).float()

    def normalize(self, layer, x):
        weight, bias, _, _ = layer.stacked()
        eps = layer.branches[0].eps
        out = F.batch_norm(x, None, None, weight.mean(0), bias.mean(0), training=True, eps=eps)
        with torch.no_grad():
            var, mean = torch.var_mean(x.float(), dim=(2, 3), correction=0)  # each image's own
            share = self._of_domain / self._of_domain.sum(0)
            means = share.T @ mean
            variances = share.T @ (var + mean**2) - means**2 + eps
            whole = (share @ torch.ones(share.shape[1]) / share.shape[1])[:, None]
            deviation = ((var + mean**2) * whole).sum(0) - ((mean * whole).sum(0)) ** 2 + eps
            shift = self._scale * spread(means) / deviation.sqrt() * torch.randn_like(mean)
            stretch = (0.5 * self._scale * spread(variances.log()) * torch.randn_like(mean)).exp()
        gamma, beta = weight.mean(0)[:, None, None], bias.mean(0)[:, None, None]
        return (out - beta) * stretch[..., None, None] + beta + gamma * shift[..., None, None]


@META_ARCH_REGISTRY.register()
class GDNormScattered(GDNormBaseline):
    """One pass along a ScatteredBatchPath; DomainPreciseBN fills the branches at the end."""

    def _on_domain_path(self, batch):
        return self._along(ScatteredBatchPath(batch["domains"], self.scale), batch)


@META_ARCH_REGISTRY.register()
class GDNormLightBranches(GDNormBatch):
    """The domain path's losses have a weight of a quarter."""

    def _on_domain_path(self, batch):
        one = super()._on_domain_path(batch)
        return one._replace(losses={name: 0.25 * loss for name, loss in one.losses.items()})


@META_ARCH_REGISTRY.register()
class GDNormInTurn(GDNormBaseline):
    """One pass a step: a hook (BranchesFirst, ...) chooses the domain path or the whole batch's statistics."""

    by_whole_batch = False

    def _on_domain_path(self, batch):
        return self._along(BatchSampledPath(0.0), batch) if self.by_whole_batch else super()._on_domain_path(batch)


@HOOK_REGISTRY.register()
class BranchesFirst(HookBase):
    """The domain path for three fifths of the training, until the learning rate falls; then the whole batch."""

    whole_batch_first = False

    @classmethod
    def from_config(cls, cfg, trainer):
        return cls()

    def before_epoch(self):
        is_early = self.trainer.epoch < 0.6 * self.trainer.max_epoch
        self.trainer.model.by_whole_batch = self.whole_batch_first if is_early else not self.whole_batch_first


@HOOK_REGISTRY.register()
class WholeBatchFirst(BranchesFirst):
    whole_batch_first = True


@HOOK_REGISTRY.register()
class EveryOtherStep(HookBase):
    """Alternate between a step along the domain path and a step with the whole batch's statistics."""

    @classmethod
    def from_config(cls, cfg, trainer):
        return cls()

    def before_step(self):
        self.trainer.model.by_whole_batch = self.trainer.iter % 2 == 1
