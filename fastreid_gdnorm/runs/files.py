"""The names of what is in a run's folder."""

from __future__ import annotations

from pathlib import Path

# of fast-reid's, in an OUTPUT_DIR
CONFIG = "config.yaml"
LAST_CHECKPOINT = "last_checkpoint"  # the name of the checkpoint to go on from
FINAL, BEST = "model_final.pth", "model_best.pth"
METRICS = "metrics.json"  # a line for every step that is written, and every test
LOG = "log.txt"

# of a training that begins with one more source
START, START_CONFIG = "start.pth", "start.yaml"

# of every test
RESULTS = "test_results"  # .json and .csv

# of a run that is one row of a table
FINISHED = "finished.json"  # what it came to; there once it has ended
RECIPE = "recipe.yaml"  # the settings that it is known by

# of a path sweep
PATHS = "paths"  # the folder in a run's; in it paths.jsonl and .csv, .json, .md
RECORDS = "paths.jsonl"
CLAIM = "sweep.json"

# how the digest of a model begins since it holds all the config keys that features depend on
DIGEST = "v2-"


def evaluation(path: str = "") -> str:
    """The folder of a test along ``path``, a TEST_PATH or ``site:FOLDER``, or of a model without paths."""
    kind, _, rest = path.partition(":")
    return "-".join(filter(None, ("eval", kind, Path(rest).stem)))


def log(command: str) -> str:
    """What ``fastreid COMMAND`` has said, for a row of a table."""
    return f"{command}.log"
