"""Ranking in bounded memory, tests on splits, result summaries and path sweeps."""

from .distances import Distances, build_dist, is_one_block
from .matches import check_matches, num_matched, splits_of
from .metrics import HEADLINE, METRICS, SPREAD, TRANSDUCTIVE, header
from .ranking import evaluate_rank, evaluate_roc
from .split_evaluator import SplitEvaluator, SplitResults
from .summary import add_average, interval, metric_names, metric_text, summary_table

__all__ = [
    "HEADLINE",
    "METRICS",
    "SPREAD",
    "TRANSDUCTIVE",
    "Distances",
    "SplitEvaluator",
    "SplitResults",
    "add_average",
    "build_dist",
    "check_matches",
    "evaluate_rank",
    "evaluate_roc",
    "header",
    "interval",
    "is_one_block",
    "metric_names",
    "metric_text",
    "num_matched",
    "splits_of",
    "summary_table",
]
