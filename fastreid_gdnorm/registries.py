"""Registries that fast-reid lacks. Other packages can register here too.

A sampler is built by ``from_config(cfg, train_set)``, a hook by ``from_config(cfg, trainer)``. A run with a SEED can be
repeated and resumed if its sampler has a method ``reseed(seed)``, called before every epoch: the next iteration must
depend on that seed alone. torch's ``set_epoch(epoch)`` works as well.
"""

from fastreid.utils.registry import Registry

SAMPLER_REGISTRY = Registry("SAMPLER")  # for DATALOADER.SAMPLER_TRAIN, beside fast-reid's own samplers
HOOK_REGISTRY = Registry("HOOK")  # for SOLVER.HOOKS
