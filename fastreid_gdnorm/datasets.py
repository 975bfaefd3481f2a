"""``fastreid datasets``: what is there of the data sets."""

import os

from .data.check import check
from .data.readers import READERS
from .engine.row import say
from .engine.setup import load_config, shipped
from .errors import UserError
from .mends.data import datasets_root

ANY_CONFIG = "configs/Base-GDNorm.yml"


def datasets(names=(), overrides=(), config_file=None, root=None, decode=True):
    """Report on the data sets ``names``, by default the config's, or without a config all that have a reader here.

    Args:
        overrides: KEY, VALUE, ... such as DATASETS.MSMT17.VERSION, V2.
        root: in place of FASTREID_DATASETS.
        decode: whether to read every image.

    Raises:
        UserError: at the end, if one that was named, or that the config names, is missing or wrong.
    """
    if root:
        os.environ["FASTREID_DATASETS"] = root
    cfg = load_config(
        config_file or ANY_CONFIG, [*overrides, *(["DATASETS.TESTS", str(tuple(names))] if names else [])]
    )
    if config_file and not names:
        names = [*cfg.DATASETS.NAMES, *cfg.DATASETS.TESTS]
    say(f"Data sets in {os.path.abspath(datasets_root())}\n")
    wrong = []
    for name in names or [reader.__name__ for reader in READERS]:
        report = check(cfg, name, decode)
        say(f"{report}\n")
        if not report.is_good:
            wrong.append(name)
    say(f"Where to get what: {shipped('projects/GDNorm/DATASETS.md')}")
    if names and wrong:
        raise UserError(f"missing or not as published: {', '.join(wrong)}; see above")
