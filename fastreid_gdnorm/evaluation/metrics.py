"""The metrics of fast-reid's evaluation, by name, in %."""

METRICS = ("Rank-1", "Rank-5", "Rank-10", "mAP", "mINP")
HEADLINE = ("Rank-1", "mAP")  # what papers, figures and first sentences give
TRANSDUCTIVE = "adapted to (%)"  # the share of a target's images that a posterior path was taken from
SPREAD = " std"  # after a metric's name: its standard deviation over splits
HEADERS = {"Rank-1": "R1", "Rank-5": "R5", "Rank-10": "R10"}  # as tables abbreviate


def header(metric: str) -> str:
    """What a table calls a metric."""
    return HEADERS.get(metric, metric)
