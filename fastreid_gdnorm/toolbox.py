"""The two seams that fast-reid has no registry for: the training sampler and the trainer's hooks."""

import functools

import fastreid.data
from fastreid.config import CfgNode
from fastreid.data import build
from fastreid.data.transforms import build_transforms
from fastreid.engine import DefaultTrainer, defaults, hooks
from fastreid.utils.events import JSONWriter

from .data import DomainDataset, read_sources
from .engine import Reproducible
from .errors import UserError
from .mends.data import datasets_root
from .mends.tools import rebind
from .registries import HOOK_REGISTRY, SAMPLER_REGISTRY


def connect():
    """Let fast-reid's own loader and trainer find the two registries, and give every training batch ``domains``."""
    stock_build = build.build_reid_train_loader
    stock_hooks = DefaultTrainer.build_hooks

    @functools.wraps(stock_build)
    def build_reid_train_loader(*args, **kwargs):
        if "cfg" in kwargs:
            args = (kwargs.pop("cfg"), *args)
        if args and isinstance(args[0], CfgNode):
            return stock_build(args[0], **_train_set_and_sampler(args[0], **kwargs))
        return stock_build(*args, **kwargs)

    @functools.wraps(stock_hooks)
    def build_hooks(self):
        all_hooks = stock_hooks(self)
        evaluation = next(i for i, hook in enumerate(all_hooks) if isinstance(hook, hooks.EvalHook))
        if self.cfg.SEED >= 0:
            all_hooks.insert(evaluation + 1, _reproducible(self, all_hooks))
        own = [HOOK_REGISTRY.get(name).from_config(self.cfg, self) for name in self.cfg.SOLVER.HOOKS]
        return all_hooks[:evaluation] + own + all_hooks[evaluation:]

    rebind("build_reid_train_loader", build_reid_train_loader, build, fastreid.data, defaults)
    DefaultTrainer.build_hooks = build_hooks


def _train_set_and_sampler(cfg, *, train_set=None, transforms=None, sampler=None, **reader):
    if train_set is None:
        sources = read_sources(cfg.DATASETS.NAMES, datasets_root(), **reader)
        train_set = DomainDataset(sources, transforms or build_transforms(cfg, is_train=True))
    name = cfg.DATALOADER.SAMPLER_TRAIN
    if sampler is None and name in SAMPLER_REGISTRY._obj_map:
        sampler = SAMPLER_REGISTRY.get(name).from_config(cfg, train_set)
    elif sampler is None and name in ("NaiveIdentitySampler", "BalancedIdentitySampler"):
        _check_identities(cfg, train_set)
    return {"train_set": train_set, "sampler": sampler}


def _check_identities(cfg, train_set):
    """fast-reid's own samplers look for a batch that cannot be made for ever."""
    images, instances = cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE
    if images % instances or train_set.num_classes < images // instances:
        raise UserError(
            f"SOLVER.IMS_PER_BATCH {images} is to be a multiple of DATALOADER.NUM_INSTANCE {instances}, with no more "
            f"identities than the training set's {train_set.num_classes}"
        )


def _reproducible(trainer, all_hooks):
    writers = [writer for hook in all_hooks if isinstance(hook, hooks.PeriodicWriter) for writer in hook._writers]
    metrics = next((writer for writer in writers if isinstance(writer, JSONWriter)), None)
    hook = Reproducible(trainer.cfg.SEED, metrics)
    trainer.checkpointer.checkpointables["metrics_history"] = hook
    return hook
