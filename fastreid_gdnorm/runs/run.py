"""Training and evaluation for the commands, on top of fast-reid's DefaultTrainer."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from fastreid.config import CfgNode
from fastreid.engine import DefaultTrainer, default_setup
from fastreid.utils import comm
from fastreid.utils.logger import setup_logger
from torch import nn
from tqdm.contrib.logging import logging_redirect_tqdm

from ..console import say
from ..disk import check_writable, locked, replacing
from ..errors import Failure, UserError, file_mistake
from ..evaluation.camera_offset_hook import Offsets, following_offsets
from ..modeling import branched, is_gdnorm
from ..training.progress_bar import ProgressBar
from . import files
from .launcher import Processes, launch
from .run_checkpoints import find_weights, last_checkpoint, load_model, model_digest
from .run_config import find_config, load_config
from .run_folder import load_trained_config

logger = logging.getLogger("fastreid.gdnorm.run")


def train(
    config_file: str | Path,
    overrides: Sequence[object] = (),
    seed: int | None = None,
    resume: bool = False,
    eval_only: bool = False,
    processes: Processes | None = None,
) -> None:
    """Train a config and test the model; with ``eval_only``, only test it.

    Args:
        overrides: KEY, VALUE, ...
        seed: the value of SEED; None leaves the config's.
        resume: whether to resume from the last checkpoint in OUTPUT_DIR.
        processes: the processes to start; None if this is the only one, or torchrun or Slurm has started them.

    Raises:
        UserError: the config has a mistake, a file is missing, or the processes cannot be started.
        Failure: training diverged, or one of several processes failed.
    """
    cfg = load_config(config_file, overrides, trains=not eval_only)
    if resume or eval_only:
        cfg.OUTPUT_DIR = load_trained_config(config_file, overrides).OUTPUT_DIR
    if not cfg.OUTPUT_DIR or os.fsencode(cfg.OUTPUT_DIR) != cfg.OUTPUT_DIR.encode(errors="replace"):
        raise UserError(f"OUTPUT_DIR is {cfg.OUTPUT_DIR!a}: name a folder, in UTF-8 because TensorBoard requires it")
    if seed is not None:
        cfg.SEED = seed
    cfg.freeze()
    args = argparse.Namespace(config_file=find_config(config_file), resume=resume, eval_only=eval_only)
    launch(_train, processes, cfg.MODEL.DEVICE, (cfg, args))


def evaluate(
    config_file: str | Path,
    overrides: Sequence[object] = (),
    path: str | None = None,
    output: str | Path | None = None,
    offsets: Offsets | None = None,
) -> None:
    """Test the checkpoint MODEL.WEIGHTS, by default the last one in OUTPUT_DIR; files in OUTPUT_DIR do not change.

    Args:
        path: the value of MODEL.GDNORM.TEST_PATH; None leaves the config's.
        output: the folder for the results; by default a folder in OUTPUT_DIR named after the path or the site.
        offsets: camera offsets to subtract from features.

    Raises:
        UserError: the config has a mistake, the checkpoint is missing, ``path`` is given for a model that cannot have
            branches, or the offsets belong to another model.
    """
    cfg = load_trained_config(config_file, overrides)
    if path:
        cfg = branched(cfg)
        cfg.MODEL.GDNORM.TEST_PATH = path
    launch(_evaluate, device=cfg.MODEL.DEVICE, args=(cfg, output, offsets))


def _evaluate(cfg: CfgNode, output: str | Path | None, offsets: Offsets | None) -> None:
    setup_logger(distributed_rank=comm.get_rank())
    cfg.MODEL.WEIGHTS = find_weights(cfg)
    path = cfg.MODEL.GDNORM.TEST_PATH if is_gdnorm(cfg) else ""
    folder = files.evaluation(f"site:{offsets.site}" if offsets else path)
    output = output or os.path.join(cfg.OUTPUT_DIR, folder)
    if comm.is_main_process():
        check_writable(output)
    if offsets:
        offsets.check_model(model_digest(cfg))
    model = load_model(cfg)
    cfg.OUTPUT_DIR = str(output)
    cfg.freeze()
    with following_offsets(model, offsets, cfg.MODEL.WEIGHTS) if offsets else contextlib.nullcontext():
        _test(cfg, model)


def _test(cfg: CfgNode, model: nn.Module) -> None:
    if not cfg.DATASETS.TESTS:
        raise UserError("DATASETS.TESTS is empty: name at least one target")
    DefaultTrainer.test(cfg, model)


def _train(cfg: CfgNode, args: argparse.Namespace) -> None:
    exclusive = _alone_in(Path(cfg.OUTPUT_DIR), trains=not args.eval_only)
    with exclusive if comm.is_main_process() else contextlib.nullcontext():
        default_setup(cfg, args)
        _hide_tracebacks_of_mistakes()
        if args.eval_only:
            _test(cfg, load_model(cfg))
            return
        trainer = DefaultTrainer(cfg)
        trainer.resume_or_load(resume=args.resume)
        lacks_test = trainer.checkpointer.checkpointables["untested"].is_pending
        if trainer.start_epoch >= trainer.max_epoch and not lacks_test:
            logger.info("Training had already finished in %s; testing it", cfg.OUTPUT_DIR)
            _test(cfg, trainer.model)
            return
        if comm.is_main_process():
            trainer.register_hooks([ProgressBar()])
        with logging_redirect_tqdm([logging.getLogger("fastreid")]):
            _run(trainer)


def _run(trainer: DefaultTrainer) -> None:
    try:
        trainer.train()
    except FloatingPointError as error:
        last = last_checkpoint(trainer.cfg.OUTPUT_DIR)
        kept = f"the last good checkpoint is {last}" if last else "no checkpoint was saved before that"
        raise Failure(
            f"training diverged at iteration {trainer.iter}: {' '.join(str(error).split())}; {kept}; start again, or "
            f"from a checkpoint (MODEL.WEIGHTS), with SOLVER.BASE_LR below {trainer.cfg.SOLVER.BASE_LR:g}"
        ) from error


@contextlib.contextmanager
def _alone_in(folder: Path, trains: bool) -> Iterator[None]:
    """Create a run's folder, keep other trainings out of it, and protect its config as :func:`_kept_config` does."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder), _kept_config(folder, trains):
        yield


@contextlib.contextmanager
def _kept_config(folder: Path, trains: bool) -> Iterator[None]:
    """Restore the previous config.yaml, which fast-reid overwrites, unless a training finishes or saves a checkpoint.

    A config.yaml that no training wrote is copied to config.yaml.old before a training.

    Raises:
        UserError: config.yaml.old already exists with other contents.
    """
    file, aside, checkpoint = (folder / name for name in (files.CONFIG, f"{files.CONFIG}.old", files.LAST_CHECKPOINT))
    before = file.read_bytes() if file.is_file() else None
    is_of_run = checkpoint.exists() or (folder / files.LOG).exists()
    is_users = trains and before is not None and not is_of_run
    if is_users and aside.exists() and aside.read_bytes() != before:
        raise UserError(f"{file} was not written by a training, and {aside} already exists: move one of them away")
    if is_users:
        shutil.copyfile(file, aside)
        say(f"{file} was not written by a training: it is kept as {aside}")
    saved, is_done = _modified(checkpoint), False
    try:
        yield
        is_done = trains
    finally:  # also after Ctrl-C
        if before is not None and not is_done and saved == _modified(checkpoint):
            with replacing(file) as part:
                part.write_bytes(before)


def _modified(file: Path) -> int | None:
    return file.stat().st_mtime_ns if file.is_file() else None


def _hide_tracebacks_of_mistakes() -> None:
    def without_traceback(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        is_explained = isinstance(error, (UserError, FloatingPointError))
        if is_explained or (isinstance(error, OSError) and file_mistake(error)):
            record.exc_info = None
        return True

    logging.getLogger("fastreid.engine.train_loop").addFilter(without_traceback)
