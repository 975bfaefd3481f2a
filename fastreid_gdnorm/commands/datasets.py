"""``fastreid datasets``: whether data sets, tables and folders are complete and can be read."""

from __future__ import annotations

import itertools
import os
from argparse import ArgumentParser, Namespace

SUMMARY = "check public data sets on disk, or your own tables and folders"
DESCRIPTION = """\
Look for data sets, count their identities, images and cameras, compare the
counts with the published ones, and decode every image.
projects/GDNorm/DATASETS.md says where to download them and how to arrange
them.

Your own tables (shop.csv) and folders (crops/) are checked for images that
cannot be read, pictures under two identities, identities of one camera only,
and sources that are too small for a batch of the config.
docs/your-own-data.md says what tables and folders look like.

The exit status is 2 if a data set that you name, or that the config names, is
missing or wrong.
"""
EXAMPLES = """\
examples:
  fastreid datasets
  fastreid datasets --no-decode DGMarket1501 DGMSMT17 DATASETS.MSMT17.VERSION V2
  fastreid datasets --config-file projects/GDNorm/configs/protocol1/gdnorm.yml
  fastreid datasets shop.csv mall.csv
  fastreid datasets --layout identity/camera/image crops
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--root", metavar="DIR", help="the folder to look in; default: $FASTREID_DATASETS or datasets")
    parser.add_argument("--config-file", metavar="FILE", help="check the data sets of this config")
    parser.add_argument(
        "--no-decode", dest="decode", action="store_false", help="only check that image files exist and are not empty"
    )
    parser.add_argument(
        "--layout",
        metavar="LAYOUT",
        help="how folders are arranged: market1501, identity/image, identity/camera/image, camera/image, or a "
        "pattern with groups such as (?P<identity>[^/]+); default: guessed from the folders",
    )
    parser.add_argument(
        "--same-identities", action="store_true", help="tables and folders share one list of identities"
    )
    parser.add_argument(
        "opts",
        nargs="*",
        metavar="NAME ... KEY VALUE",
        help="data sets, tables and folders to check, then config keys to override; default: all ten public data sets",
    )


def run(args: Namespace) -> None:
    from ..data.own_data import own_data_of
    from ..data.verification import check_data_sets
    from ..errors import UserError
    from ..runs.run_config import load_config, shipped

    if args.root is not None:
        if not os.path.isdir(args.root):
            raise UserError(f"--root {args.root} is not a folder: name the folder that holds the data sets")
        os.environ["FASTREID_DATASETS"] = args.root
    names = list(itertools.takewhile(lambda word: "." not in word or own_data_of(word), args.opts))
    overrides = args.opts[len(names) :]
    if names:
        overrides = [*overrides, "DATASETS.NAMES", "()", "DATASETS.TESTS", str(tuple(names))]
    if args.layout is not None:
        overrides = [*overrides, "DATASETS.OWN.LAYOUT", args.layout]
    if args.same_identities:
        overrides = [*overrides, "DATASETS.OWN.SAME_IDENTITIES", "True"]
    default = "projects/GDNorm/configs/own-data.yml" if any(map(own_data_of, names)) else "configs/Base-GDNorm.yml"
    cfg = load_config(args.config_file or default, overrides)
    if args.config_file or names:
        names = [*cfg.DATASETS.NAMES, *cfg.DATASETS.TESTS]
    check_data_sets(cfg, names, args.decode, guide=shipped("projects/GDNorm/DATASETS.md"))
