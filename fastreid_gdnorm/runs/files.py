"""The names of the files in a run's folder."""

from __future__ import annotations

from pathlib import Path

# written by fast-reid to OUTPUT_DIR
CONFIG = "config.yaml"
LAST_CHECKPOINT = "last_checkpoint"  # holds the name of the checkpoint to resume from
FINAL, BEST = "model_final.pth", "model_best.pth"
METRICS = "metrics.json"  # a line for every logged step and every test
LOG = "log.txt"

# written to start a training with one more source
START, START_CONFIG = "start.pth", "start.yaml"

# written by every test
RESULTS = "test_results"  # .json and .csv

# written for a run that is one row of a table
FINISHED = "finished.json"  # its results; exists once the run has finished
RECIPE = "recipe.yaml"  # the settings that identify it

# written by a path sweep
PATHS = "paths"  # a folder in the run's folder, with paths.jsonl, .csv, .json and .md
RECORDS = "paths.jsonl"
CLAIM = "sweep.json"

# prefix of a model's digest, since the digest covers all config keys that determine features
DIGEST = "v2-"


def evaluation(path: str = "") -> str:
    """The folder of a test along ``path``: a TEST_PATH, ``site:FOLDER``, or "" for a model without paths."""
    kind, _, rest = path.partition(":")
    return "-".join(filter(None, ("eval", kind, Path(rest).stem)))


def log(command: str) -> str:
    """The file for the output of ``fastreid COMMAND``, run as a row of a table."""
    return f"{command}.log"
