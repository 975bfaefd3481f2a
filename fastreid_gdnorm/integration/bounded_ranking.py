"""Ranking of finite features only and, with TEST.RANKING bounded, in bounded memory."""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from fastreid.config import CfgNode
from fastreid.evaluation import ReidEvaluator, reid_evaluation
from torch import Tensor

from ..errors import UserError, not_finite
from ..evaluation import Distances, build_dist, evaluate_rank, evaluate_roc, is_one_block

logger = logging.getLogger("fastreid.gdnorm.ranking")

ONE_AT_A_TIME = threading.RLock()  # fast-reid's functions are replaced for all threads


def connect() -> None:
    """ReidEvaluator and its subclasses rank as TEST.RANKING says; other callers of stock ranking get stock ranking.

    Bounded ranking runs on MODEL.DEVICE if that is a GPU with enough free memory, or else on the CPU.

    Features that are NaN or infinite, which stock would rank, are refused. Features that are all zero, which cosine
    cannot compare, cause a warning that names the first image.
    """
    stock_dependencies, stock_evaluate = ReidEvaluator._compile_dependencies, ReidEvaluator.evaluate
    stock_process = ReidEvaluator.process
    warned: weakref.WeakSet[Any] = weakref.WeakSet()  # evaluators that have warned about all-zero features

    @functools.wraps(stock_dependencies)
    def compile_dependencies(self: Any) -> None:
        if not is_bounded(self.cfg):  # bounded ranking needs nothing compiled
            stock_dependencies(self)

    @functools.wraps(stock_evaluate)
    def evaluate(self: Any) -> Any:
        device = self.cfg.get("MODEL", {}).get("DEVICE", "cpu")  # a project's config may have TEST alone
        with _bounded_functions(device) if is_bounded(self.cfg) else contextlib.nullcontext():
            return stock_evaluate(self)

    @functools.wraps(stock_process)
    def process(self: Any, inputs: Any, outputs: Tensor) -> None:
        features = outputs.reshape(len(outputs), -1)
        image = _first(~features.isfinite().all(dim=1), inputs)
        if image:
            origin = f", started from {self.cfg.MODEL.WEIGHTS}," if self.cfg.MODEL.WEIGHTS else ""
            raise not_finite(image, f"the model of {self.cfg.OUTPUT_DIR}{origin}")
        image = _first(~features.any(dim=1), inputs)
        if image and self.cfg.TEST.METRIC == "cosine" and self not in warned:
            warned.add(self)
            logger.warning(
                "The features of %s, and perhaps of more images, are all zero: cosine cannot compare them, so their "
                "ranks are random",
                image,
            )
        stock_process(self, inputs, outputs)

    ReidEvaluator._compile_dependencies, ReidEvaluator.evaluate = compile_dependencies, evaluate
    ReidEvaluator.process = process


def _first(unusable: Tensor, inputs: Any) -> str:
    """The name of a batch's first image that is ``unusable`` (B,), or ""."""
    if not unusable.any():
        return ""
    index = int(unusable.nonzero()[0])
    return str(inputs["img_paths"][index]) if "img_paths" in inputs else f"image {index + 1} of a batch"


def is_bounded(cfg: CfgNode) -> bool:
    """Whether tests rank in bounded memory.

    Raises:
        UserError: TEST.RANKING has an unknown value.
    """
    ranking = cfg.TEST.get("RANKING", "bounded")  # an evaluator's config may lack the plugin's keys
    if ranking not in ("bounded", "stock"):
        raise UserError(f"TEST.RANKING must be bounded or stock; got {ranking!r}")
    return bool(ranking == "bounded")


def is_fastreids(function: Any) -> bool:
    """Whether a function is fast-reid's own rather than a project's replacement."""
    return str(getattr(function, "__module__", "")).startswith("fastreid.")


def _build_dist(device: str, queries: Tensor, gallery: Tensor, metric: str = "euclidean", **options: Any) -> Distances:
    """``build_dist`` on ``device`` if it is a GPU with enough room.

    Few distances stay on the CPU, where they equal stock's to the last digit.
    """
    is_large = metric != "jaccard" and not is_one_block(len(queries), len(gallery))
    if is_large and _has_room(torch.device(device), queries.nbytes + gallery.nbytes):
        queries, gallery = queries.to(device), gallery.to(device)
    return build_dist(queries, gallery, metric, **options)


def _has_room(device: torch.device, features: int) -> bool:
    """Whether ``device`` is a GPU with free memory for two copies of ``features``, in bytes, and for blocks."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device.index)
    unused = torch.cuda.memory_reserved(device.index) - torch.cuda.memory_allocated(
        device.index
    )  # which torch keeps for later
    return 2 * features + 2**30 <= free + unused


@contextlib.contextmanager
def _bounded_functions(device: str) -> Iterator[None]:
    """Inside the block, ReidEvaluator.evaluate finds the bounded functions instead of stock's, for ``device``.

    If a project has replaced one of the functions, none is exchanged.
    """
    # imported only now: on import, these modules look for their compiled parts
    rank, roc = (importlib.import_module(f"fastreid.evaluation.{name}") for name in ("rank", "roc"))
    bounded = (
        (reid_evaluation, "build_dist", functools.partial(_build_dist, device)),
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
