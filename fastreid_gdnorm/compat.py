"""Lets stock fastreid 1.4.0 import and run on today's Python, torch and NumPy, on CPU and CUDA, without forking it.

A mend that changes what fastreid does looks for its defect first, so a patched fork or a later release is left alone;
one that only adds (a seed, a clear error) goes around whatever is there. What is mended:

=====================  ======================================================================================
imports                ``collections.Mapping`` (fast-reid PRs 713, 747), ``torch._six`` (PR 692)
device                 the default ``MODEL.DEVICE`` is CUDA also where there is none (issues 97, 485, 684)
loader                 ``DataLoaderX`` needs CUDA (issues 97, 485, 684) and hangs after an unreadable image
data sets              ``FASTREID_DATASETS`` is read only once; an error does not say where a data set was sought
optimizer              with torch >= 2.0 ``zero_grad`` cuts the flat buffers off: nothing is trained any more
trainer                no seed (issues 384, 439, 750); AMP without CUDA fails in mid-run
images                 ``preprocess_image`` normalises the batch in place: twice, if the model is called twice
checkpoints            written straight over the last good one; loaded with the code that they may hold
ranking                ``make`` with any ``python3``, and exit if it fails (issue 387); ``np.bool``
events                 the last test's results do not reach ``metrics.json``; a division by zero in a resumed run
                       of two iterations
workers                processes that are spawned, not forked, import ``fastreid.data`` unmended
RegNet, EffNet         read their YAML relative to the working directory
=====================  ======================================================================================
"""

import collections
import collections.abc
import contextlib
import functools
import importlib.util
import inspect
import logging
import os
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import torch

from .errors import UserError

logger = logging.getLogger("fastreid.gdnorm.compat")


def mend():
    """Import fastreid and mend it, once.

    Raises:
        ImportError: fastreid is not installed.
    """
    if importlib.util.find_spec("fastreid") is None:
        raise ImportError("fastreid_gdnorm needs fast-reid: pip install --no-deps fastreid==1.4.0")
    with _removed_names():
        import fastreid.engine  # noqa: F401  all of the toolbox
    for part in (
        _mend_device,
        _mend_loader,
        _mend_workers,
        _mend_data_sets,
        _mend_optimizer,
        _mend_trainer,
        _mend_images,
        _mend_checkpoints,
        _mend_ranking,
        _mend_events,
        _mend_regnet,
    ):
        part()


def rebind(name, wrapper, *modules):
    """Set ``name`` in every one of the modules, which import it from each other, to ``wrapper``."""
    for module in modules:
        setattr(module, name, wrapper)


def datasets_root():
    """The folder that holds the data sets, as it is set now."""
    return os.getenv("FASTREID_DATASETS", "datasets")


def _source_has(function, text):
    return text in inspect.getsource(function)


@contextlib.contextmanager
def _removed_names():
    """``collections.Mapping`` and ``torch._six``, for the time of the import alone."""
    mapping_is_gone = not hasattr(collections, "Mapping")
    six_is_gone = importlib.util.find_spec("torch._six") is None
    if mapping_is_gone:
        collections.Mapping = collections.abc.Mapping
    if six_is_gone:
        sys.modules["torch._six"] = types.ModuleType("torch._six")
        sys.modules["torch._six"].string_classes = (str, bytes)
    try:
        yield
    finally:
        if mapping_is_gone:
            del collections.Mapping
        if six_is_gone:
            del sys.modules["torch._six"]


def _mend_device():
    from fastreid.config.defaults import _C

    if _C.MODEL.DEVICE == "cuda" and not torch.cuda.is_available():
        _C.MODEL.DEVICE = "cpu"


def _mend_loader():
    from fastreid.data import common, data_utils
    from torch.utils.data import DataLoader

    loader, prefetch = data_utils.DataLoaderX, data_utils.BackgroundGenerator
    stock_iter = loader.__iter__

    def init(self, local_rank, **kwargs):
        has_cuda = torch.cuda.is_available()
        DataLoader.__init__(self, **{**kwargs, "pin_memory": has_cuda and kwargs.get("pin_memory", False)})
        self.local_rank = local_rank
        self.stream = torch.cuda.Stream(local_rank) if has_cuda else None  # None: batches stay on the CPU

    def iterate(self):
        return DataLoader.__iter__(self) if self.stream is None else stock_iter(self)

    if _source_has(loader.__init__, "torch.cuda.Stream(") and not _source_has(loader.__init__, "is_available"):
        loader.__init__, loader.__iter__ = init, iterate

    stock_run, stock_next = prefetch.run, prefetch.next

    def run(self):
        try:
            stock_run(self)
        except Exception as error:
            self.error = error
            self.queue.put(None)

    def next_item(self):
        try:
            return stock_next(self)
        except StopIteration:
            if self.error is not None:
                raise self.error from None
            raise

    if not _source_has(prefetch.run, "except"):
        prefetch.error, prefetch.run, prefetch.next = None, run, next_item

    stock_read = common.read_image

    @functools.wraps(stock_read)
    def read_image(file_name, format=None):
        try:
            return stock_read(file_name, format)
        except Exception as error:  # Pillow raises all kinds for damaged files
            raise UserError(f"cannot read image {file_name} ({error}): replace it or take it away") from error

    common.read_image = read_image


def _mend_workers():
    from fastreid.data import CommDataset

    # the first thing that a worker process unpickles is _restore, which imports and mends
    CommDataset.__reduce__ = lambda self: (_restore, (type(self), vars(self)))


def _restore(kind, state):
    dataset = kind.__new__(kind)
    vars(dataset).update(state)
    return dataset


def _mend_data_sets():
    import fastreid.data
    from fastreid.config import CfgNode
    from fastreid.data import build
    from fastreid.data.datasets.bases import Dataset
    from fastreid.engine import defaults

    def with_root_and_device_of_now(stock):
        @functools.wraps(stock)
        def build_loader(*args, **kwargs):
            build._root = datasets_root()
            result = stock(*args, **kwargs)
            if args and isinstance(args[0], CfgNode) and args[0].MODEL.DEVICE == "cpu":
                loader = result[0] if isinstance(result, tuple) else result
                loader.stream = None
            return result

        return build_loader

    if hasattr(build, "_root"):
        for name in ("build_reid_train_loader", "build_reid_test_loader"):
            rebind(name, with_root_and_device_of_now(getattr(build, name)), build, fastreid.data, defaults)

    stock_check = Dataset.check_before_run

    @functools.wraps(stock_check)
    def check_before_run(self, required_files):
        try:
            stock_check(self, required_files)
        except RuntimeError as error:
            raise UserError(
                f"data set {type(self).__name__}: {error}; FASTREID_DATASETS names the folder that holds the data sets"
            ) from error

    Dataset.check_before_run = check_before_run


def _mend_optimizer():
    import fastreid.solver
    from fastreid.engine import defaults
    from fastreid.solver import build

    # SGD.zero_grad inherits the default that decides
    drops_gradients = inspect.signature(torch.optim.SGD.zero_grad).parameters["set_to_none"].default
    stock_build = build.build_optimizer

    @functools.wraps(stock_build)
    def build_optimizer(*args, **kwargs):
        optimizer, params = stock_build(*args, **kwargs)
        zero_grad = optimizer.zero_grad
        optimizer.zero_grad = lambda set_to_none=False: zero_grad(set_to_none=False)
        return optimizer, params

    if drops_gradients and not _source_has(stock_build, "set_to_none"):
        rebind("build_optimizer", build_optimizer, build, fastreid.solver, defaults)


def _mend_trainer():
    from fastreid.engine import DefaultTrainer
    from fastreid.utils import comm
    from fastreid.utils.env import seed_all_rng

    stock_init = DefaultTrainer.__init__

    @functools.wraps(stock_init)
    def init(self, cfg):
        if cfg.SOLVER.AMP.ENABLED and not (torch.cuda.is_available() and cfg.MODEL.DEVICE.startswith("cuda")):
            raise UserError("SOLVER.AMP.ENABLED needs CUDA, which is not used here: set SOLVER.AMP.ENABLED False")
        if cfg.OUTPUT_DIR:
            os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)  # which only default_setup makes
        if cfg.SEED >= 0:
            seed_all_rng(cfg.SEED + comm.get_rank())
        stock_init(self, cfg)

    DefaultTrainer.__init__ = init


def copy_images(batched_inputs):
    """The batch, a dict or images alone, with a copy of its images."""
    if isinstance(batched_inputs, torch.Tensor):
        return batched_inputs.clone()
    return {**batched_inputs, "images": batched_inputs["images"].clone()}


def _mend_images():
    from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

    def on_a_copy(stock):
        @functools.wraps(stock)
        def preprocess_image(self, batched_inputs):
            return stock(self, copy_images(batched_inputs))

        return preprocess_image

    for _, meta_arch in META_ARCH_REGISTRY._obj_map.items():
        stock = vars(meta_arch).get("preprocess_image")
        if stock and _source_has(stock, ".sub_("):
            meta_arch.preprocess_image = on_a_copy(stock)


class _AtomicPathManager:
    """fastreid's PathManager, but a file opened for writing appears whole or not at all."""

    def __init__(self, path_manager):
        self._stock = path_manager

    def __getattr__(self, name):
        return getattr(self._stock, name)

    @contextlib.contextmanager
    def open(self, path, mode="r", **kwargs):
        if "w" not in mode:
            with self._stock.open(path, mode, **kwargs) as file:
                yield file
            return
        temporary = f"{path}.tmp"
        try:
            with self._stock.open(temporary, mode, **kwargs) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.remove(temporary)
            raise


class _WeightsUnpickler(pickle.Unpickler):
    """What ``weights_only`` is in torch 2.4 and later; before, that refuses floats or Counters in a checkpoint."""

    def find_class(self, module, name):
        allowed = (
            (module == "collections" and name in ("OrderedDict", "Counter"))
            or (module == "torch._utils" and name.startswith("_rebuild_"))
            or (module in ("torch", "torch.storage") and name.endswith("Storage"))
        )
        if not allowed:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of weights")
        return super().find_class(module, name)


def load_weights(path):
    """A checkpoint on the CPU, without running any code that it may hold."""
    if tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 4):
        return torch.load(path, map_location="cpu", weights_only=True)
    # torch 1.13 takes no other pickle_module than the one it has imported
    stock = torch.serialization.pickle
    torch.serialization.pickle = types.ModuleType("weights_pickle")
    vars(torch.serialization.pickle).update(
        vars(stock),
        Unpickler=_WeightsUnpickler,
        load=lambda file, **kwargs: _WeightsUnpickler(file, **kwargs).load(),
    )
    try:
        return torch.load(path, map_location="cpu")
    finally:
        torch.serialization.pickle = stock


def _mend_checkpoints():
    from fastreid.utils import checkpoint

    checkpointer = checkpoint.Checkpointer
    if _source_has(checkpointer.save, "PathManager.open(save_file"):
        checkpoint.PathManager = _AtomicPathManager(checkpoint.PathManager)

    def load_file(self, path):
        try:
            return load_weights(path)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            lines = str(error).splitlines() or [type(error).__name__]
            reason = next((line.strip() for line in lines if "Unsupported" in line), lines[0])
            raise UserError(
                f"checkpoint {path} is damaged or holds more than weights ({reason}): name another with "
                "MODEL.WEIGHTS, or in last_checkpoint"
            ) from error

    stock_load = checkpointer.load

    @functools.wraps(stock_load)
    def load(self, path, checkpointables=None):
        if path and "://" not in path and not os.path.isfile(path):
            raise UserError(f"checkpoint {path} is not found: see MODEL.WEIGHTS")
        try:
            return stock_load(self, path, checkpointables)
        except UserError:
            raise
        except KeyError as error:
            raise UserError(f"checkpoint {path} has no entry {error}: it is none of fast-reid's") from error
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"checkpoint {path} does not fit this model: {' '.join(str(error).split())}") from error

    if _source_has(checkpointer._load_file, "torch.load(f, map_location=torch.device("):
        checkpointer._load_file = load_file
    checkpointer.load = load


def _mend_ranking():
    from fastreid.evaluation import reid_evaluation

    stock_compile = reid_evaluation.compile_helper
    stock_dependencies = reid_evaluation.ReidEvaluator._compile_dependencies

    @functools.wraps(stock_compile)
    def compile_helper():
        reason = "no Cython"
        if importlib.util.find_spec("Cython") is not None:
            path = os.environ.get("PATH", "")
            os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + path  # its python3 is this one
            try:
                return stock_compile()
            except (SystemExit, OSError) as error:
                reason = f"building it failed: {error}"
            finally:
                os.environ["PATH"] = path
        logger.warning("Ranking in Python, slower but with the same numbers, not in Cython (%s)", reason)

    @functools.wraps(stock_dependencies)
    def compile_dependencies(self):
        stock_dependencies(self)
        # not earlier: rank looks for the compiled module when it is imported
        from fastreid.evaluation import rank

        if not hasattr(np, "bool"):
            rank.np = types.ModuleType("numpy")
            vars(rank.np).update(vars(np), bool=bool)

    reid_evaluation.compile_helper = compile_helper
    reid_evaluation.ReidEvaluator._compile_dependencies = compile_dependencies


@contextlib.contextmanager
def after_the_epoch(trainer):
    """Metrics put within it count as put after the epoch's last step, whose own are written already."""
    storage = trainer.storage
    step = storage.iter
    storage.iter = trainer.iter
    try:
        yield storage
    finally:
        storage.iter = step


def _mend_events():
    from fastreid.engine.hooks import EvalHook, PeriodicWriter
    from fastreid.utils.events import CommonMetricPrinter, get_event_storage

    stock_eval, stock_close, stock_write = EvalHook._do_eval, PeriodicWriter.after_train, CommonMetricPrinter.write

    @functools.wraps(stock_eval)
    def do_eval(self):
        with after_the_epoch(self.trainer):
            stock_eval(self)

    @functools.wraps(stock_close)
    def after_train(self):
        if hasattr(self.trainer.storage, "epoch"):  # not if training fails before its first epoch
            self.after_epoch()
        stock_close(self)

    @functools.wraps(stock_write)
    def write(self):
        if self._last_write is not None and self._last_write[0] == get_event_storage().iter:
            self._last_write = None
        stock_write(self)

    if not _source_has(EvalHook, "storage.iter"):
        EvalHook._do_eval, PeriodicWriter.after_train = do_eval, after_train
    CommonMetricPrinter.write = write


def _mend_regnet():
    import fastreid
    from fastreid.modeling.backbones.regnet import regnet

    installed_in = Path(fastreid.__file__).parent.parent
    stock_merge = regnet.regnet_cfg.merge_from_file  # effnet's config is the same object

    def merge_from_file(cfg_filename):
        stock_merge(str(installed_in / cfg_filename))

    if _source_has(regnet, "'fastreid/modeling/backbones/regnet/"):
        object.__setattr__(regnet.regnet_cfg, "merge_from_file", merge_from_file)
