"""Patches of fastreid.evaluation and of the distances that it ranks by."""

import functools
import importlib.util
import logging
import os
import sys
import types
import warnings

import faiss
import numpy as np

logger = logging.getLogger("fastreid.gdnorm.patches")


def patch_compiling():
    """The compiled part of ranking is built by any ``python3``, and if that fails, the process ends."""
    from fastreid.evaluation import reid_evaluation

    warnings.filterwarnings("ignore", "Cython (rank|roc) evaluation")  # compile_helper says it, with the reason
    stock_compile = reid_evaluation.compile_helper
    stock_dependencies = reid_evaluation.ReidEvaluator._compile_dependencies

    @functools.wraps(stock_compile)
    def compile_helper():
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
        logger.warning("Ranking in Python, slower but with the same numbers, not in Cython (%s)", reason)

    @functools.wraps(stock_dependencies)
    def compile_dependencies(self):
        stock_dependencies(self)
        for name in ("fastreid.evaluation.rank", "fastreid.evaluation.roc"):
            if not getattr(sys.modules.get(name), "IS_CYTHON_AVAI", True):
                importlib.reload(sys.modules[name])  # it was imported before its compiled part was built

    reid_evaluation.compile_helper = compile_helper
    reid_evaluation.ReidEvaluator._compile_dependencies = compile_dependencies


def patch_reranking():
    """Re-ranking needs CUDA."""
    from fastreid.utils import compute_dist

    stock_jaccard = compute_dist.compute_jaccard_distance

    @functools.wraps(stock_jaccard)
    def compute_jaccard_distance(features, k1=20, k2=6, search_option=0, fp16=False):
        # options below 3 are faiss's GPU searches, and build_dist always asks for 0
        return stock_jaccard(features, k1, k2, search_option if faiss.get_num_gpus() else 3, fp16)

    compute_dist.compute_jaccard_distance = compute_jaccard_distance


def patch_rank():
    """Ranking uses ``np.bool``, which NumPy 1.24 removed, and fails where a gallery has fewer than 50 images."""
    from fastreid.evaluation import ReidEvaluator

    stock_init = ReidEvaluator.__init__

    @functools.wraps(stock_init)
    def init(self, *args, **kwargs):
        stock_init(self, *args, **kwargs)
        _patch_rank_module()  # not earlier: when it is imported, it looks for its compiled part, which may be built now

    ReidEvaluator.__init__ = init


def _patch_rank_module():
    from fastreid.evaluation import rank

    if not hasattr(np, "bool"):
        rank.np = types.ModuleType("numpy")
        vars(rank.np).update(vars(np), bool=bool)
    if not hasattr(rank.evaluate_rank, "__wrapped__"):
        rank.evaluate_rank = _with_room_for_every_rank(rank.evaluate_rank)


def _with_room_for_every_rank(stock):
    """``stock`` for galleries of any size.

    Stock needs ``max_rank`` gallery images beside those of a query's own identity and camera. Where there may be
    fewer, strangers are added who are further away than anyone. They change no metric.
    """

    @functools.wraps(stock)
    def evaluate_rank(distmat, q_pids, g_pids, q_camids, g_camids, max_rank=50, *args, **kwargs):
        if len(g_pids):
            _, left_out = np.unique(np.stack([g_pids, g_camids]), axis=1, return_counts=True)
            if len(g_pids) - left_out.max() < max_rank:
                strangers = (0, max_rank)
                distmat = np.pad(np.asarray(distmat), ((0, 0), strangers), constant_values=np.inf)
                g_pids = np.pad(g_pids, strangers, constant_values=min(q_pids.min(), g_pids.min()) - 1)
                g_camids = np.pad(g_camids, strangers)
        return stock(distmat, q_pids, g_pids, q_camids, g_camids, max_rank, *args, **kwargs)

    return evaluate_rank
