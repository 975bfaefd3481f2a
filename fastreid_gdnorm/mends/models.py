"""Mends of fastreid's evaluation and of two of its backbones."""

import functools
import importlib.util
import logging
import os
import sys
import types
from pathlib import Path

import numpy as np

from .tools import source_has

logger = logging.getLogger("fastreid.gdnorm.compat")


def mend_ranking():
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


def mend_regnet():
    import fastreid
    from fastreid.modeling.backbones.regnet import regnet

    installed_in = Path(fastreid.__file__).parent.parent
    stock_merge = regnet.regnet_cfg.merge_from_file  # effnet's config is the same object

    def merge_from_file(cfg_filename):
        stock_merge(str(installed_in / cfg_filename))

    if source_has(regnet, "'fastreid/modeling/backbones/regnet/"):
        object.__setattr__(regnet.regnet_cfg, "merge_from_file", merge_from_file)
