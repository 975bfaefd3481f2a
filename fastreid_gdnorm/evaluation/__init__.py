"""Ranking in bounded memory, splits, summaries, path sweeps."""

from .distances import build_dist
from .ranking import evaluate_rank, evaluate_roc
from .split_evaluator import SplitEvaluator, SplitResults
from .summary import add_average, save_test_results, summary_table

__all__ = [
    "SplitEvaluator",
    "SplitResults",
    "add_average",
    "build_dist",
    "evaluate_rank",
    "evaluate_roc",
    "save_test_results",
    "summary_table",
]
