"""What fast-reid has no registry for; both are open to others.

A sampler is built by ``from_config(cfg, train_set)``, a hook by ``from_config(cfg, trainer)``.
"""

from fastreid.utils.registry import Registry

SAMPLER_REGISTRY = Registry("SAMPLER")  # DATALOADER.SAMPLER_TRAIN, beside fast-reid's own samplers
HOOK_REGISTRY = Registry("HOOK")  # SOLVER.HOOKS
