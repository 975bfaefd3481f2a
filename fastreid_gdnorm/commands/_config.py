"""The arguments of commands that take a config, and what their help says about configs."""

from __future__ import annotations

import argparse

ABOUT_CONFIGS = """\
A config is a YAML file of fast-reid's keys and the plugin's; it starts from another one with _BASE_. KEY VALUE
pairs override it and come last. The keys that matter most:

  DATASETS.NAMES "('DGMarket1501','DGMSMT17')"   the sources to train on, in the order of the model's branches
  DATASETS.TESTS "('DGCUHK03',)"                 the targets to test on
  OUTPUT_DIR DIR                                 checkpoints, log.txt, metrics.json, TensorBoard
  MODEL.META_ARCHITECTURE GDNormBaseline         with MODEL.BACKBONE.NAME build_gdnorm_backbone: GDNorm
  MODEL.GDNORM.BACKBONE, .LAMBDA, .NOISE, .NUM_PATHS, .HEADS, .TEST_PATH, .MEAN_OF
  DATALOADER.DOMAIN_BATCH full                   a whole batch of every source in a step, rather than one for all

The data sets lie in the folder that the environment variable FASTREID_DATASETS names (default: datasets);
fastreid datasets shows what is there.
Your own data: put it into Market-1501's folders, or register a reader as fast-reid's documentation shows.
"""


def add_config_file(parser: argparse.ArgumentParser) -> None:
    """``--config-file``, as ``args.config_file``."""
    parser.add_argument("--config-file", required=True, metavar="FILE", help="as for training, or a run's config.yaml")


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """``KEY VALUE ...`` at the end, as ``args.opts``."""
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE ...", help="config keys to override")
