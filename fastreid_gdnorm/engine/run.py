"""Training and evaluation, as the commands run them; the work is fast-reid's DefaultTrainer."""

import contextlib
import logging
import os
from pathlib import Path

import torch
from fastreid.engine import DefaultTrainer, default_argument_parser, default_setup, launch
from fastreid.utils import comm
from fastreid.utils.checkpoint import Checkpointer
from fastreid.utils.logger import setup_logger
from torch.multiprocessing import ProcessRaisedException
from tqdm.contrib.logging import logging_redirect_tqdm

from ..errors import UserError
from ..plugins import load_plugins
from .population_statistics import complete_mean_path
from .progress_bar import ProgressBar
from .setup import find_config, load_config

logger = logging.getLogger("fastreid.gdnorm.run")


def train(args):
    """Train and test, or with ``args.eval_only`` only test; ``args`` are those of fast-reid's parser and ``seed``."""
    args.config_file = find_config(args.config_file)
    if args.num_gpus > 1 and args.num_gpus > torch.cuda.device_count():
        raise UserError(f"--num-gpus is {args.num_gpus}, torch finds {torch.cuda.device_count()} CUDA devices here")
    of_one_machine = ("auto", default_argument_parser().get_default("dist_url"))
    if args.num_machines > 1 and args.dist_url in of_one_machine:
        raise UserError(
            f"--num-machines is {args.num_machines}, and --dist-url {args.dist_url} is for one: give all of them "
            "--dist-url tcp://ADDRESS:PORT, a free port of the machine with --machine-rank 0"
        )
    try:
        launch(
            _train,
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(args,),
        )
    except ProcessRaisedException as error:
        if "UserError: " in str(error):
            raise UserError(str(error)) from error
        raise


def _train(args):
    if comm.get_world_size() > 1:
        load_plugins()  # this is a new process
    cfg = load_config(args.config_file, args.opts)
    if args.seed is not None:
        cfg.SEED = args.seed
    cfg.freeze()
    with _kept_on_mistakes(Path(cfg.OUTPUT_DIR) / "config.yaml"):
        default_setup(cfg, args)
        _hide_tracebacks_of_mistakes()
        if args.eval_only:
            return DefaultTrainer.test(cfg, load_model(cfg))
        trainer = DefaultTrainer(cfg)
        trainer.resume_or_load(resume=args.resume)
        if trainer.start_epoch >= trainer.max_epoch:
            logger.info("Training had come to its end in %s; testing it", cfg.OUTPUT_DIR)
            return DefaultTrainer.test(cfg, trainer.model)
        if comm.is_main_process():
            trainer.register_hooks([ProgressBar()])
        with logging_redirect_tqdm([logging.getLogger("fastreid")]):
            return trainer.train()


def evaluate_command(args):
    """Test a checkpoint; ``args`` has config_file, opts, path and output. The run's own files are left as they are."""
    cfg = load_config(args.config_file, args.opts)
    is_gdnorm = cfg.MODEL.META_ARCHITECTURE.startswith("GDNorm")
    if args.path:
        if not is_gdnorm:
            raise UserError(f"--path is for GDNorm models; MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE}")
        cfg.MODEL.GDNORM.TEST_PATH = args.path
    path = f"-{cfg.MODEL.GDNORM.TEST_PATH.replace(':', '-')}" if is_gdnorm else ""
    output = args.output or os.path.join(cfg.OUTPUT_DIR, f"eval{path}")
    setup_logger()
    model = load_model(cfg)
    cfg.OUTPUT_DIR = output
    cfg.freeze()
    DefaultTrainer.test(cfg, model)


def load_model(cfg):
    """The config's model with the weights of MODEL.WEIGHTS, by default the run's last checkpoint.

    Raises:
        UserError: there is no checkpoint, or it is damaged or of another model.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.BACKBONE.PRETRAIN = False
    model = DefaultTrainer.build_model(cfg)
    _WholeModel(model).load(find_weights(cfg))
    complete_mean_path(cfg, model)
    return model


def find_weights(cfg):
    """The checkpoint that a config means: MODEL.WEIGHTS, or the last one in OUTPUT_DIR.

    Raises:
        UserError: there is none.
    """
    weights = cfg.MODEL.WEIGHTS or Checkpointer(None, cfg.OUTPUT_DIR).get_checkpoint_file()
    if not weights:
        raise UserError(f"OUTPUT_DIR {cfg.OUTPUT_DIR} has no checkpoint: train first, or name one by MODEL.WEIGHTS")
    return weights


class _WholeModel(Checkpointer):
    """fast-reid goes on with what a checkpoint has; what makes features has to be there all the same."""

    def _log_incompatible_keys(self, incompatible):
        of_classifier = {name for name, p in self.model.named_parameters() if "head" in name and p.dim() == 2}
        missing = [key for key in incompatible.missing_keys if key not in of_classifier]
        if missing:
            raise ValueError(f"it lacks {len(missing)} of the model's tensors, first {missing[0]}")
        super()._log_incompatible_keys(incompatible)


@contextlib.contextmanager
def _kept_on_mistakes(file):
    """fast-reid writes its config into the run's folder first of all; if nothing is saved, the former one is back."""
    before = file.read_bytes() if file.is_file() else None
    saved = _modified(file.parent / "last_checkpoint")
    try:
        yield
    except Exception:
        if before is not None and saved == _modified(file.parent / "last_checkpoint"):
            file.write_bytes(before)
        raise


def _modified(file):
    return file.stat().st_mtime_ns if file.is_file() else None


def _hide_tracebacks_of_mistakes():
    def without_traceback(record):
        if record.exc_info and isinstance(record.exc_info[1], UserError):
            record.exc_info = None
        return True

    logging.getLogger("fastreid.engine.train_loop").addFilter(without_traceback)
