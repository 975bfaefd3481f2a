"""What fast-reid has no registry for; both are open to others.

A sampler is built by ``from_config(cfg, train_set)``, a hook by ``from_config(cfg, trainer)``. Runs with a SEED can be
repeated and resumed if a sampler has ``reseed(seed)``, which is called before every epoch: its next iteration then
depends on that number alone. torch's ``set_epoch(epoch)`` will do as well.
"""

from fastreid.utils.registry import Registry

SAMPLER_REGISTRY = Registry("SAMPLER")  # DATALOADER.SAMPLER_TRAIN, beside fast-reid's own samplers
HOOK_REGISTRY = Registry("HOOK")  # SOLVER.HOOKS
