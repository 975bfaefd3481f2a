"""The arguments of commands that take a config or a run, and what their help says about both."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..errors import UserError

ABOUT_RUNS = """\
--model RUN takes an output folder of fastreid train: its config.yaml and the
checkpoint that was tested, or else the last one, even if the folder was moved.
--config-file RUN/config.yaml means the same. With any other config, the
checkpoint is MODEL.WEIGHTS, or else the last one in OUTPUT_DIR.

KEY VALUE pairs override keys of the config and come last, for example
DATASETS.TESTS "('DGCUHK03',)" or MODEL.WEIGHTS FILE. fastreid train --help
explains the keys that matter most, and where data sets are looked for.
"""
ABOUT_CONFIGS = """\
A config is a YAML file with fast-reid's keys and the plugin's; _BASE_ in it
names another config to start from. KEY VALUE pairs override the config and
come last. The keys that matter most:

  DATASETS.NAMES "('DGMarket1501','DGMSMT17')"
      the source domains, in the order of the model's branches
  DATASETS.TESTS "('DGCUHK03',)"
      the target domains
  OUTPUT_DIR DIR
      where checkpoints, log.txt, metrics.json and TensorBoard's files go
  MODEL.META_ARCHITECTURE GDNormBaseline
  MODEL.BACKBONE.NAME build_gdnorm_backbone
      GDNorm; both are needed
  MODEL.GDNORM.LAMBDA, .NOISE, .NUM_PATHS, .BACKBONE, .HEADS, .TEST_PATH,
  .MEAN_OF
      its settings; configs/Base-GDNorm.yml explains them
  DATALOADER.DOMAIN_BATCH full
      a full batch of every source per step, instead of one batch that all share

Data sets are looked for in the folder that the environment variable
FASTREID_DATASETS names (default: datasets); fastreid datasets lists what is
there. Your own data can be named by its path: a table ('shop.csv') with the
columns path and identity, and where known camera, split (train, query or
gallery), track, time and domain, or a folder ('crops/') arranged as
identity/camera/image, identity/image or like Market-1501. Check it with
fastreid datasets shop.csv; docs/your-own-data.md has the details.
"""


def add_config_file(parser: argparse.ArgumentParser) -> None:
    """``--config-file`` and ``--model``, for :func:`config_file_of`."""
    parser.add_argument("--model", default="", metavar="RUN", help="the output folder of a training")
    parser.add_argument("--config-file", default="", metavar="FILE", help="instead of --model: the model's config")


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """``KEY VALUE ...`` at the end, as ``args.opts``."""
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE ...", help="config keys to override")


def config_file_of(args: argparse.Namespace) -> str:
    """The config file that ``--config-file`` names, or the run's folder that ``--model`` names.

    Raises:
        UserError: neither is given or only after the first KEY, they name different files, the model is not a run, or
            the config file is a folder.
    """
    if not args.model:
        if not args.config_file:
            late = next((word for word in args.opts if word.startswith("--")), "")
            if late:
                raise UserError(f"{late} is a flag: flags must come before the first KEY")
            raise UserError("name a model: --model RUN (an output folder of fastreid train) or --config-file FILE")
        if os.path.isdir(args.config_file):
            raise UserError(
                f"--config-file {args.config_file} is a folder: name a file, or pass a run's folder as --model"
            )
        return str(args.config_file)
    from ..runs import files

    config = Path(args.model, files.CONFIG)
    if not config.is_file():
        raise UserError(
            f"--model {args.model} is not a run: it has no {files.CONFIG}; pass an output folder of fastreid train"
        )
    if args.config_file and os.path.realpath(args.config_file) != os.path.realpath(config):
        raise UserError(f"--model {args.model} and --config-file {args.config_file} name different models: pass one")
    return str(args.model)
