"""Patches of fastreid.evaluation and of the distances for re-ranking."""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np

logger = logging.getLogger("fastreid.gdnorm.patches")


def patch_compiling() -> None:
    """Ranking is compiled for the first ``python3`` on PATH, and if that fails, the process exits."""
    from fastreid.evaluation import reid_evaluation

    warnings.filterwarnings("ignore", "Cython (rank|roc) evaluation")  # compile_helper warns, and says why
    stock_compile = reid_evaluation.compile_helper
    stock_dependencies = reid_evaluation.ReidEvaluator._compile_dependencies

    @functools.wraps(stock_compile)
    def compile_helper() -> None:
        reason = "no Cython"
        if importlib.util.find_spec("Cython") is not None:
            path = os.environ.get("PATH", "")
            os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + path  # make finds this python3
            try:
                stock_compile()
                return
            except (SystemExit, OSError) as error:
                reason = f"building it failed: {error}"
            finally:
                os.environ["PATH"] = path
        logger.warning("Ranking in Python instead of Cython: slower, with the same numbers (%s)", reason)

    @functools.wraps(stock_dependencies)
    def compile_dependencies(self: Any) -> None:
        stock_dependencies(self)
        for name in ("fastreid.evaluation.rank", "fastreid.evaluation.roc"):
            if not getattr(sys.modules.get(name), "IS_CYTHON_AVAI", True):
                importlib.reload(sys.modules[name])  # it was imported before its compiled part was built

    reid_evaluation.compile_helper = compile_helper
    reid_evaluation.ReidEvaluator._compile_dependencies = compile_dependencies


def patch_reranking() -> None:
    """Re-ranking needs CUDA."""
    from fastreid.utils import compute_dist

    stock_jaccard = compute_dist.compute_jaccard_distance

    @functools.wraps(stock_jaccard)
    def compute_jaccard_distance(
        features: Any, k1: int = 20, k2: int = 6, search_option: int = 0, fp16: bool = False
    ) -> Any:
        # options below 3 search on the GPU; build_dist always passes 0
        return stock_jaccard(features, k1, k2, search_option if faiss.get_num_gpus() else 3, fp16)

    compute_dist.compute_jaccard_distance = compute_jaccard_distance


def patch_rank() -> None:
    """Ranking uses ``np.bool``, which NumPy 1.24 removed, and fails for a gallery of fewer than 50 images."""
    from fastreid.evaluation import ReidEvaluator

    stock_init = ReidEvaluator.__init__

    @functools.wraps(stock_init)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        stock_init(self, *args, **kwargs)
        _patch_rank_module()  # only now: importing it looks for its compiled part, which stock_init may have built

    ReidEvaluator.__init__ = init


def _patch_rank_module() -> None:
    from fastreid.evaluation import rank

    if not hasattr(np, "bool"):
        rank.np = types.ModuleType("numpy")
        vars(rank.np).update(vars(np), bool=bool)
    if not hasattr(rank.evaluate_rank, "__wrapped__"):
        rank.evaluate_rank = _for_any_gallery(rank.evaluate_rank)


def _for_any_gallery(stock: Callable[..., Any]) -> Callable[..., Any]:
    """``stock`` for galleries of any size.

    Stock needs ``max_rank`` gallery images besides those that share a query's identity and camera. A gallery that may
    have fewer is padded with images of an unknown identity at infinite distance, which change no metric.
    """

    @functools.wraps(stock)
    def evaluate_rank(
        distmat: Any,
        q_pids: Any,
        g_pids: Any,
        q_camids: Any,
        g_camids: Any,
        max_rank: int = 50,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        if len(g_pids):
            _, left_out = np.unique(np.stack([g_pids, g_camids]), axis=1, return_counts=True)
            if len(g_pids) - left_out.max() < max_rank:
                padding = (0, max_rank)
                distmat = np.pad(np.asarray(distmat), ((0, 0), padding), constant_values=np.inf)
                g_pids = np.pad(g_pids, padding, constant_values=min(q_pids.min(), g_pids.min()) - 1)
                g_camids = np.pad(g_camids, padding)
        return stock(distmat, q_pids, g_pids, q_camids, g_camids, max_rank, *args, **kwargs)

    return evaluate_rank
