"""A table of results, a row for each model."""

from tabulate import tabulate

from ..evaluation import METRICS, header
from ..runs.tables import save_table


def results_table(rows, columns=METRICS):
    """A Markdown table of ``rows``, {row name: {column: value}}."""
    return tabulate(
        [[name, *(values[column] for column in columns)] for name, values in rows.items()],
        headers=["", *(header(column) for column in columns)],
        tablefmt="github",
        floatfmt=".1f",
    )


def save_results(rows, folder, columns=METRICS):
    """Write ``rows`` as results.md, results.csv and results.json into ``folder``."""
    lines = ([name, *(values[column] for column in columns)] for name, values in rows.items())
    save_table(folder, "results", ["row", *columns], lines, rows, results_table(rows, columns) + "\n")
