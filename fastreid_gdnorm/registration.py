"""Importing this repairs fast-reid, connects the plugin, and registers all that the plugin adds, once.

The order matters: patches/ first, so that fast-reid can be imported and integration/ builds on repaired methods.
"""

from .patches import apply_patches

apply_patches()

from fastreid.config.defaults import _C  # noqa: E402
from fastreid.data.datasets import DATASET_REGISTRY  # noqa: E402
from fastreid.modeling.backbones import BACKBONE_REGISTRY  # noqa: E402
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY  # noqa: E402

from . import config, data, integration, modeling, registries  # noqa: E402
from .data.readers import READERS  # noqa: E402
from .rendered import RENDERED_DOMAINS  # noqa: E402
from .training.domain_precise_bn import DomainPreciseBN  # noqa: E402

config.add_gdnorm_config(_C)
integration.connect()
registries.SAMPLER_REGISTRY.register(data.DomainBalancedIdentitySampler)
registries.HOOK_REGISTRY.register(DomainPreciseBN)
BACKBONE_REGISTRY.register(modeling.build_gdnorm_backbone)
for _meta_arch in (modeling.GDNormBaseline, modeling.GDNormDistiller, modeling.GDNormMGN):
    META_ARCH_REGISTRY.register(_meta_arch)
for _data_set in (*READERS, *RENDERED_DOMAINS):
    DATASET_REGISTRY.register(_data_set)
