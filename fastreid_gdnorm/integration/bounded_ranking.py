"""The seam at fast-reid's ranking: of finite features alone, and in bounded memory if TEST.RANKING says so."""

import contextlib
import functools
import importlib
import logging
import threading
import weakref

from fastreid.evaluation import ReidEvaluator, reid_evaluation

from ..errors import UserError, not_finite
from ..evaluation import build_dist, evaluate_rank, evaluate_roc

logger = logging.getLogger("fastreid.gdnorm.ranking")

ONE_AT_A_TIME = threading.RLock()  # thread, as fast-reid's functions are exchanged for all


def connect():
    """ReidEvaluator and its subclasses rank as TEST.RANKING says; other callers of stock ranking get stock ranking.

    Features that are NaN or infinite are refused: stock ranks them, and gives numbers. Of features that are all zero,
    which cosine cannot compare, the first image is named.
    """
    stock_dependencies, stock_evaluate = ReidEvaluator._compile_dependencies, ReidEvaluator.evaluate
    stock_process = ReidEvaluator.process
    with_zeros = weakref.WeakSet()  # evaluators of which that was said

    @functools.wraps(stock_dependencies)
    def compile_dependencies(self):
        if not is_bounded(self.cfg):  # bounded ranking needs nothing compiled
            stock_dependencies(self)

    @functools.wraps(stock_evaluate)
    def evaluate(self):
        with _bounded_functions() if is_bounded(self.cfg) else contextlib.nullcontext():
            return stock_evaluate(self)

    @functools.wraps(stock_process)
    def process(self, inputs, outputs):
        features = outputs.reshape(len(outputs), -1)
        image = _first(~features.isfinite().all(dim=1), inputs)
        if image:
            begun = f", begun with {self.cfg.MODEL.WEIGHTS}," if self.cfg.MODEL.WEIGHTS else ""
            raise not_finite(image, f"the model of {self.cfg.OUTPUT_DIR}{begun}")
        image = _first(~features.any(dim=1), inputs)
        if image and self.cfg.TEST.METRIC == "cosine" and self not in with_zeros:
            with_zeros.add(self)
            logger.warning(
                "The features of %s, and perhaps of more images, are all zero: cosine cannot compare them, so that "
                "what these images find is chance",
                image,
            )
        stock_process(self, inputs, outputs)

    ReidEvaluator._compile_dependencies, ReidEvaluator.evaluate = compile_dependencies, evaluate
    ReidEvaluator.process = process


def _first(unusable, inputs):
    """The name of a batch's first image that is ``unusable`` (B,), or "" if none is."""
    if not unusable.any():
        return ""
    place = int(unusable.nonzero()[0])
    return inputs["img_paths"][place] if "img_paths" in inputs else f"image {place + 1} of a batch"


def is_bounded(cfg):
    """Whether tests rank in bounded memory.

    Raises:
        UserError: TEST.RANKING has none of its values.
    """
    ranking = cfg.TEST.get("RANKING", "bounded")  # an evaluator's config may have no other section
    if ranking not in ("bounded", "stock"):
        raise UserError(f'TEST.RANKING is {ranking!r}, it can be "bounded" or "stock"')
    return ranking == "bounded"


def is_fastreids(function):
    """Whether a function is still fast-reid's own, which a project may have replaced."""
    return str(getattr(function, "__module__", "")).startswith("fastreid.")


@contextlib.contextmanager
def _bounded_functions():
    """Within it, ReidEvaluator.evaluate finds the bounded functions in the place of stock's.

    Where a project has put a function of its own in the place of one of them, all are left as they are.
    """
    # imported now and no earlier, as they look for their compiled parts when they are imported
    rank, roc = (importlib.import_module(f"fastreid.evaluation.{name}") for name in ("rank", "roc"))
    bounded = (
        (reid_evaluation, "build_dist", build_dist),
        (rank, "evaluate_rank", evaluate_rank),
        (roc, "evaluate_roc", evaluate_roc),
    )
    with ONE_AT_A_TIME:
        stock = [(module, name, getattr(module, name)) for module, name, _ in bounded]
        if not all(is_fastreids(function) for _, _, function in stock):
            yield
            return
        try:
            for module, name, function in bounded:
                setattr(module, name, function)
            yield
        finally:
            for module, name, function in stock:
                setattr(module, name, function)
