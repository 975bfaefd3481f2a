"""One row of a table: a command run to its end in a process of its own, and not run again when it is done."""

import hashlib
import json
import os
import subprocess
import sys
import time

from fastreid.utils.checkpoint import Checkpointer
from tqdm import tqdm

from ..errors import UserError
from .setup import load_config

FINISHED, RECIPE = "finished.json", "recipe.yaml"


def train_row(run, config, seed, title, overrides=()):
    """Train and test by ``fastreid train`` in the folder ``run``, go on with it, or keep it if it has ended.

    Returns:
        {"results": {target: metrics}, "seconds": since it was last started}.

    Raises:
        UserError: the folder holds a run of other settings, or the run failed: its own words are on stderr and in
            ``train.log``.
    """
    recipe = f"SEED: {seed}\n{_settings(config, overrides)}"
    if _recipe_of(run) not in (None, recipe):
        raise UserError(f"{run} holds a run of other settings: remove it, or choose another folder")
    words = ["train", "--config-file", config, "--seed", seed, "--resume", "OUTPUT_DIR", run, *overrides]
    return _kept(run, title) or _run(run, words, recipe, f"{title}: training", run / "train.log")


def eval_row(run, config, weights, title, overrides=()):
    """Test the checkpoint ``weights`` by ``fastreid eval`` in the folder ``run``, or keep it if that was done.

    Returns, raises:
        as ``train_row``; what another checkpoint came to is put in place of.
    """
    with open(weights, "rb") as file:
        recipe = f"{hashlib.sha256(file.read()).hexdigest()}\n{_settings(config, overrides)}"
    words = ["eval", "--config-file", config, "--output", run, "MODEL.WEIGHTS", weights, *overrides]
    kept = _kept(run, title) if _recipe_of(run) == recipe else None
    return kept or _run(run, words, recipe, f"{title}: testing {weights}", run / "eval.log")


def finished_row(run):
    """What a row has come to, or None."""
    file = run / FINISHED
    return json.loads(file.read_text()) if file.is_file() else None


def last_checkpoint(run):
    """The last checkpoint of a training, or None."""
    return Checkpointer(None, str(run)).get_checkpoint_file() or None


def say(text):
    """A line on stdout that leaves progress bars whole."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def _kept(run, title):
    row = finished_row(run)
    if row:
        say(f"{title}: kept from an earlier run; remove {run} to have it done again")
    return row


def _settings(config, overrides):
    return load_config(str(config), [*map(str, overrides), "OUTPUT_DIR", ""]).dump()


def _recipe_of(run):
    return (run / RECIPE).read_text() if (run / RECIPE).is_file() else None


def _run(run, words, recipe, title, log_file):
    run.mkdir(parents=True, exist_ok=True)
    (run / FINISHED).unlink(missing_ok=True)
    _write(run / RECIPE, recipe)
    say(f"{title}, log in {log_file}")
    start = time.perf_counter()
    env = {**os.environ, "PYTHONWARNINGS": "ignore"}  # stderr is for the progress bar and the user's mistakes
    with open(log_file, "w") as log:
        done = subprocess.run([sys.executable, "-m", "fastreid_gdnorm", *map(str, words)], stdout=log, env=env)
    if done.returncode:
        raise UserError(f"{title} failed, see {log_file}")
    results = json.loads((run / "test_results.json").read_text())
    row = {"results": results, "seconds": time.perf_counter() - start}
    _write(run / FINISHED, json.dumps(row))
    return row


def _write(file, text):
    """Whole or not at all, whenever it is killed."""
    part = file.with_suffix(".part")
    part.write_text(text)
    part.replace(file)
