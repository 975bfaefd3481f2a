"""``fastreid datasets``: which public data sets are on disk, and whether they are complete."""

from __future__ import annotations

import itertools
import os
from argparse import ArgumentParser, Namespace

SUMMARY = "check which public data sets are on disk and complete"
DESCRIPTION = """\
Look for data sets, count their identities, images and cameras, compare the
counts with the published ones, and decode every image.
projects/GDNorm/DATASETS.md says where to download them and how to arrange
them. The exit status is 2 if a data set that you name, or that the config
names, is missing or wrong.
"""
EXAMPLES = """\
examples:
  fastreid datasets
  fastreid datasets --no-decode DGMarket1501 DGMSMT17 DATASETS.MSMT17.VERSION V2
  fastreid datasets --config-file projects/GDNorm/configs/protocol1/gdnorm.yml
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--root", metavar="DIR", help="the folder to look in; default: $FASTREID_DATASETS or datasets")
    parser.add_argument("--config-file", metavar="FILE", help="check the data sets of this config")
    parser.add_argument(
        "--no-decode", dest="decode", action="store_false", help="only check that image files exist and are not empty"
    )
    parser.add_argument(
        "opts",
        nargs="*",
        metavar="NAME ... KEY VALUE",
        help="data sets to check, then config keys to override; default: all data sets of both protocols",
    )


def run(args: Namespace) -> None:
    from ..data.verification import check_data_sets
    from ..errors import UserError
    from ..runs.run_config import load_config, shipped

    if args.root is not None:
        if not os.path.isdir(args.root):
            raise UserError(f"--root {args.root} is not a folder: name the folder that holds the data sets")
        os.environ["FASTREID_DATASETS"] = args.root
    names = list(itertools.takewhile(lambda word: "." not in word, args.opts))
    overrides = args.opts[len(names) :]
    if names:
        overrides = [*overrides, "DATASETS.TESTS", str(tuple(names))]
    cfg = load_config(args.config_file or "configs/Base-GDNorm.yml", overrides)
    if args.config_file and not names:
        names = [*cfg.DATASETS.NAMES, *cfg.DATASETS.TESTS]
    check_data_sets(cfg, names, args.decode, guide=shipped("projects/GDNorm/DATASETS.md"))
