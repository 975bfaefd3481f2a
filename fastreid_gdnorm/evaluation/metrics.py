"""The names of fast-reid's metrics, all in %."""

METRICS = ("Rank-1", "Rank-5", "Rank-10", "mAP", "mINP")
HEADLINE = ("Rank-1", "mAP")  # the metrics that papers, figures and summaries quote
TRANSDUCTIVE = "adapted to (%)"  # the share of a target's images that the model was adapted to
SPREAD = " std"  # suffix of a metric's name: its standard deviation over splits
HEADERS = {"Rank-1": "R1", "Rank-5": "R5", "Rank-10": "R10"}  # abbreviations in tables


def header(metric: str) -> str:
    """A metric's name in tables."""
    return HEADERS.get(metric, metric)
