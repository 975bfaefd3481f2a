"""Tables, figures and the page about a run."""

from .path_figures import paths_figure, samples_figure
from .ranked_queries import ranked_results
from .tables import results_table, save_results

__all__ = ["paths_figure", "ranked_results", "results_table", "samples_figure", "save_results"]
