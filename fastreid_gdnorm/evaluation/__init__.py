"""Testing beyond one query and one gallery."""

from .split_evaluator import SplitEvaluator, SplitResults
from .summary import add_average, save_test_results, summary_table

__all__ = ["SplitEvaluator", "SplitResults", "add_average", "save_test_results", "summary_table"]
