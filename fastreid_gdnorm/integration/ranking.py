"""The seam at fast-reid's ranking: in bounded memory, if TEST.RANKING says so."""

import contextlib
import functools
import importlib

from fastreid.evaluation import ReidEvaluator, reid_evaluation

from ..errors import UserError
from ..evaluation import build_dist, evaluate_rank, evaluate_roc
from ..patches.evaluation import patch_rank


def connect():
    """ReidEvaluator, and what derives from it, ranks as TEST.RANKING says; whoever else ranks is left alone."""
    stock_dependencies, stock_evaluate = ReidEvaluator._compile_dependencies, ReidEvaluator.evaluate

    @functools.wraps(stock_dependencies)
    def compile_dependencies(self):
        if is_bounded(self.cfg):
            patch_rank()  # for whoever calls it
        else:
            stock_dependencies(self)

    @functools.wraps(stock_evaluate)
    def evaluate(self):
        with _bounded_functions() if is_bounded(self.cfg) else contextlib.nullcontext():
            return stock_evaluate(self)

    ReidEvaluator._compile_dependencies, ReidEvaluator.evaluate = compile_dependencies, evaluate


def is_bounded(cfg):
    """Whether tests rank in bounded memory.

    Raises:
        UserError: TEST.RANKING has none of its values.
    """
    if cfg.TEST.RANKING not in ("bounded", "stock"):
        raise UserError(f'TEST.RANKING is {cfg.TEST.RANKING!r}, it can be "bounded" or "stock"')
    return cfg.TEST.RANKING == "bounded"


@contextlib.contextmanager
def _bounded_functions():
    """What ReidEvaluator.evaluate ranks by are the bounded functions, for the time of a call alone."""
    # imported now, as they look for their compiled parts when they are
    rank, roc = (importlib.import_module(f"fastreid.evaluation.{name}") for name in ("rank", "roc"))
    bounded = (
        (reid_evaluation, "build_dist", build_dist),
        (rank, "evaluate_rank", evaluate_rank),
        (roc, "evaluate_roc", evaluate_roc),
    )
    stock = [(module, name, getattr(module, name)) for module, name, _ in bounded]
    try:
        for module, name, function in bounded:
            setattr(module, name, function)
        yield
    finally:
        for module, name, function in stock:
            setattr(module, name, function)
