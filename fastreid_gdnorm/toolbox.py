"""The seams that fast-reid has no registry for: train sampler, trainer and its hooks, variants of data sets, tests."""

import functools
import inspect
import logging
import os
from unittest import mock

import fastreid.data
from fastreid.config import CfgNode
from fastreid.data import CommDataset, build
from fastreid.data.transforms import build_transforms
from fastreid.engine import DefaultTrainer, defaults, hooks
from fastreid.evaluation import ReidEvaluator
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.utils import comm
from fastreid.utils.checkpoint import Checkpointer, _strip_prefix_if_present
from fastreid.utils.events import JSONWriter

from .data import DomainDataset, is_read_by, read, read_sources
from .data.readers import Reader, SingleShot
from .engine import Reproducible, complete_mean_path
from .errors import UserError
from .evaluation import (
    SplitEvaluator,
    SplitResults,
    add_average,
    build_dist,
    evaluate_rank,
    evaluate_roc,
    save_test_results,
    summary_table,
)
from .layers import gdnorm_layers, put_statistics
from .mends.evaluation import mend_rank
from .mends.tools import rebind
from .modeling import GDNormTraining
from .registries import HOOK_REGISTRY, SAMPLER_REGISTRY

logger = logging.getLogger("fastreid.gdnorm.test")


def connect():
    """Let fast-reid's own loaders, trainer and test find the registries, the variants and the splits."""
    _connect_loaders()
    _connect_trainer()
    _connect_hooks()
    _connect_checkpoints()
    _connect_tests()
    _connect_ranking()


def _connect_loaders():
    """Every training batch has ``domains``, samplers come from the registry, readers get their variant."""
    stock_train, stock_test = build.build_reid_train_loader, build.build_reid_test_loader

    def with_config(stock, prepared):
        @functools.wraps(stock)
        def build_loader(*args, **kwargs):
            if "cfg" in kwargs:
                args = (kwargs.pop("cfg"), *args)
            if args and isinstance(args[0], CfgNode):
                cfg, arguments = prepared(*args, **kwargs)
                return stock(cfg, **arguments)
            return stock(*args, **kwargs)

        return build_loader

    for name, stock, prepared in (
        ("build_reid_train_loader", stock_train, _train_set_and_sampler),
        ("build_reid_test_loader", stock_test, _test_set),
    ):
        rebind(name, with_config(stock, prepared), build, fastreid.data, defaults)


def _train_set_and_sampler(cfg, *, train_set=None, transforms=None, sampler=None, **reader):
    if train_set is None:
        sources = read_sources(cfg, **reader)
        train_set = DomainDataset(sources, transforms or build_transforms(cfg, is_train=True))
    name = cfg.DATALOADER.SAMPLER_TRAIN
    if sampler is None and name in SAMPLER_REGISTRY._obj_map:
        sampler = SAMPLER_REGISTRY.get(name).from_config(cfg, train_set)
    elif sampler is None:
        _check_lone_identities(cfg)
        if name in ("NaiveIdentitySampler", "BalancedIdentitySampler"):
            _check_identities(cfg, train_set)
    return _with_whole_batch(cfg), {"train_set": train_set, "sampler": sampler}


def _with_whole_batch(cfg):
    """The config with all images of a training batch as SOLVER.IMS_PER_BATCH."""
    domain_batch, sampler = cfg.DATALOADER.DOMAIN_BATCH, cfg.DATALOADER.SAMPLER_TRAIN
    if domain_batch not in ("mixed", "full"):
        raise UserError(f'DATALOADER.DOMAIN_BATCH is {domain_batch!r}, it can be "mixed" or "full"')
    if domain_batch == "full" and sampler != "DomainBalancedIdentitySampler":
        raise UserError(
            f"DATALOADER.DOMAIN_BATCH full, a batch of every domain, is for DATALOADER.SAMPLER_TRAIN "
            f"DomainBalancedIdentitySampler; it is {sampler}"
        )
    if domain_batch == "mixed":
        return cfg
    cfg = cfg.clone()
    cfg.defrost()
    cfg.SOLVER.IMS_PER_BATCH *= len(cfg.DATASETS.NAMES)
    return cfg


def _check_lone_identities(cfg):
    """fast-reid's own samplers know no domains."""
    if _is_gdnorm(cfg) and len(cfg.DATASETS.NAMES) > 1:
        raise UserError(
            f"DATALOADER.SAMPLER_TRAIN {cfg.DATALOADER.SAMPLER_TRAIN} may leave a source one identity in a batch, from "
            "which a branch learns nothing: set DATALOADER.SAMPLER_TRAIN DomainBalancedIdentitySampler"
        )


def _check_identities(cfg, train_set):
    """fast-reid's own samplers look for a batch that cannot be made for ever."""
    images, instances = cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE
    if images % instances or train_set.num_classes < images // instances:
        raise UserError(
            f"SOLVER.IMS_PER_BATCH {images} is to be a multiple of DATALOADER.NUM_INSTANCE {instances}, with no more "
            f"identities than the training set's {train_set.num_classes}"
        )


def _test_set(cfg, *, dataset_name=None, test_set=None, transforms=None, **others):
    if test_set is not None or not is_read_by(Reader, dataset_name):
        return cfg, {"dataset_name": dataset_name, "test_set": test_set, "transforms": transforms, **others}
    data = read(cfg, dataset_name, **others)
    if not data.query:
        raise UserError(f"DATASETS.TESTS: {dataset_name} is for training only, it has no queries")
    if comm.is_main_process():
        data.show_test()
    transforms = transforms or build_transforms(cfg, is_train=False)
    test_set = CommDataset(data.query + data.gallery, transforms, relabel=False)
    return cfg, {"test_set": test_set, "num_query": len(data.query)}


def _connect_trainer():
    """No training begins in several processes that would go wrong without a word; tests in them are left alone.

    A run resumed without DomainPreciseBN still goes on from the running statistics in its checkpoint.
    """
    stock_init, stock_resume = DefaultTrainer.__init__, DefaultTrainer.resume_or_load

    @functools.wraps(stock_init)
    def init(self, cfg):
        _check_processes(cfg)
        stock_init(self, cfg)

    @functools.wraps(stock_resume)
    def resume_or_load(self, resume=True):
        checkpointables = self.checkpointer.checkpointables
        if "running_statistics" in checkpointables:
            return stock_resume(self, resume)
        saved = checkpointables["running_statistics"] = _Saved()
        try:
            stock_resume(self, resume)
        finally:
            del checkpointables["running_statistics"]
        if self.start_epoch < self.max_epoch:
            put_statistics(self.checkpointer.model, saved.state)

    DefaultTrainer.__init__, DefaultTrainer.resume_or_load = init, resume_or_load


class _Saved:
    """What a checkpoint holds under a name, as ``state``."""

    def __init__(self):
        self.state = {}

    def load_state_dict(self, state):
        self.state = state


def _check_processes(cfg):
    processes = comm.get_world_size()
    if processes > 1 and _is_gdnorm(cfg):
        raise UserError(
            f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE} trains in one process, not in {processes}: use "
            "--num-gpus 1 --num-machines 1 (a stock model, such as Baseline, may use several)"
        )
    for variable in ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):  # of torchrun and of srun
        started = int(os.environ.get(variable) or 1)
        if processes == 1 and started > 1:
            raise UserError(
                f"{variable} is {started}, but the processes do not know each other: each would train a network of its "
                "own in the same OUTPUT_DIR. Start one process (--num-gpus N lets a stock model use several GPUs)"
            )


def _is_gdnorm(cfg):
    meta_arch = META_ARCH_REGISTRY._obj_map.get(cfg.MODEL.META_ARCHITECTURE)
    return inspect.isclass(meta_arch) and issubclass(meta_arch, GDNormTraining)


def _connect_hooks():
    """The trainer has the hooks of SOLVER.HOOKS, and with a SEED the one that makes runs repeatable."""
    stock_hooks = DefaultTrainer.build_hooks

    @functools.wraps(stock_hooks)
    def build_hooks(self):
        _is_bounded(self.cfg)  # a mistake there would else show at the first test only
        all_hooks = stock_hooks(self)
        evaluation = next(i for i, hook in enumerate(all_hooks) if isinstance(hook, hooks.EvalHook))
        if self.cfg.SEED >= 0:
            all_hooks.insert(evaluation + 1, _reproducible(self, all_hooks))
        if getattr(self.model, "mean_of", None) == "path" and "DomainPreciseBN" not in self.cfg.SOLVER.HOOKS:
            raise UserError(
                "MODEL.GDNORM.MEAN_OF path takes its statistics by SOLVER.HOOKS ('DomainPreciseBN',): add it"
            )
        _keep(self, all_hooks)
        own = [HOOK_REGISTRY.get(name).from_config(self.cfg, self) for name in self.cfg.SOLVER.HOOKS]
        return all_hooks[:evaluation] + own + all_hooks[evaluation:]

    DefaultTrainer.build_hooks = build_hooks


def _reproducible(trainer, all_hooks):
    writers = [writer for hook in all_hooks if isinstance(hook, hooks.PeriodicWriter) for writer in hook._writers]
    metrics = next((writer for writer in writers if isinstance(writer, JSONWriter)), None)
    hook = Reproducible(trainer.cfg.SEED, metrics)
    trainer.checkpointer.checkpointables["metrics_history"] = hook
    return hook


def _keep(trainer, all_hooks):
    """What else a resumed training goes on with."""
    checkpointables = trainer.checkpointer.checkpointables
    if trainer.grad_scaler is not None:
        checkpointables["grad_scaler"] = trainer.grad_scaler
    for hook in all_hooks:
        if isinstance(hook, hooks.PeriodicCheckpointer):
            checkpointables["best_metric"] = _BestMetric(hook)


class _BestMetric:
    """The best metric so far of a PeriodicCheckpointer, for a checkpoint."""

    def __init__(self, hook):
        self._hook = hook

    def state_dict(self):
        best = self._hook.best_metric
        if hasattr(self._hook, "metric_name"):  # in training; the last checkpoint's own metric is still to be compared
            tested, _ = self._hook.trainer.storage.latest().get(self._hook.metric_name, (best, None))
            best = max(best, tested)
        return {"best_metric": best}

    def load_state_dict(self, state):
        self._hook.best_metric = state["best_metric"]


def _connect_checkpoints():
    """A stock checkpoint goes to the branches first, so that what does not fit is skipped as in a stock model."""
    stock_load = Checkpointer._load_model

    @functools.wraps(stock_load)
    def load_model(self, checkpoint):
        state = checkpoint["model"]
        self._convert_ndarray_to_tensor(state)
        _strip_prefix_if_present(state, "module.")
        for name, layer in gdnorm_layers(self.model).items():
            layer.spread_stock_state(state, f"{name}.")
        return stock_load(self, checkpoint)

    Checkpointer._load_model = load_model


def _connect_tests():
    """A data set with splits is tested on each of them, and a test leaves a summary and test_results.csv, .json."""
    stock_evaluator, stock_test = DefaultTrainer.build_evaluator.__func__, DefaultTrainer.test.__func__

    @functools.wraps(stock_evaluator)
    def build_evaluator(cls, cfg, dataset_name, output_dir=None):
        if not is_read_by(SingleShot, dataset_name):
            return stock_evaluator(cls, cfg, dataset_name, output_dir)
        of_split_0, _ = cls.build_test_loader(cfg, dataset_name)  # a trainer's own may have other transforms
        data = read(cfg, dataset_name)
        images = CommDataset(data.images, of_split_0.dataset.transform, relabel=False)
        loader, _ = build.build_reid_test_loader(cfg, test_set=images)
        return loader, SplitEvaluator(cfg, data.splits, output_dir)

    @functools.wraps(stock_test)
    def test(cls, cfg, model):
        complete_mean_path(cfg, model)
        results = stock_test(cls, cfg, model)
        if comm.is_main_process():
            targets = list(dict.fromkeys(cfg.DATASETS.TESTS))
            by_target = results if len(targets) > 1 else {targets[0]: results}  # as stock returns them
            add_average(by_target)
            if any(isinstance(metrics, SplitResults) for metrics in by_target.values()):
                logger.info("Summary, mean ± standard deviation over splits:\n%s", summary_table(by_target))
            if cfg.OUTPUT_DIR:
                save_test_results(by_target, cfg.OUTPUT_DIR)
                logger.info("Results in %s: test_results.csv, test_results.json", cfg.OUTPUT_DIR)
        return results

    DefaultTrainer.build_evaluator, DefaultTrainer.test = classmethod(build_evaluator), classmethod(test)


def _connect_ranking():
    """ReidEvaluator, and what derives from it, ranks as TEST.RANKING says; whoever else ranks is left alone."""
    stock_dependencies, stock_evaluate = ReidEvaluator._compile_dependencies, ReidEvaluator.evaluate

    @functools.wraps(stock_dependencies)
    def compile_dependencies(self):
        if _is_bounded(self.cfg):
            mend_rank()  # for whoever calls it
        else:
            stock_dependencies(self)

    @functools.wraps(stock_evaluate)
    def evaluate(self):
        return evaluate_bounded(self) if _is_bounded(self.cfg) else stock_evaluate(self)

    # by name, as stock's modules of rank and roc look for their compiled parts when they are imported
    @mock.patch("fastreid.evaluation.reid_evaluation.build_dist", build_dist)
    @mock.patch("fastreid.evaluation.rank.evaluate_rank", evaluate_rank)
    @mock.patch("fastreid.evaluation.roc.evaluate_roc", evaluate_roc)
    def evaluate_bounded(self):
        return stock_evaluate(self)

    ReidEvaluator._compile_dependencies, ReidEvaluator.evaluate = compile_dependencies, evaluate


def _is_bounded(cfg):
    if cfg.TEST.RANKING not in ("bounded", "stock"):
        raise UserError(f'TEST.RANKING is {cfg.TEST.RANKING!r}, it can be "bounded" or "stock"')
    return cfg.TEST.RANKING == "bounded"
