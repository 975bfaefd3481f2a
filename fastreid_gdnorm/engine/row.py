"""One row of a table: a command run to its end in a process of its own, and not run again when it is done."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from fastreid.utils.checkpoint import Checkpointer
from tqdm import tqdm

from ..errors import UserError
from .setup import load_config

FINISHED, RECIPE, LOCK = "finished.json", "recipe.yaml", ".lock"
FLAGS = {"OUTPUT_DIR": "--output", "SEED": "--seed"}


class Row(NamedTuple):
    """What is run, where, and by what it is known: rows of one recipe are the same run."""

    folder: Path
    words: list  # of the fastreid command
    recipe: str

    def result(self):
        """{"results": {target: metrics}, "seconds": of the last start}, if it has ended; else None."""
        file = self.folder / FINISHED
        if file.is_file() and _recipe_in(self.folder) == self.recipe:
            return json.loads(file.read_text())

    def run(self, title):
        """Its result, from an earlier run if it has ended, else from one that is begun or gone on with.

        Raises:
            UserError: another process is at it, or it failed: its own words are on stderr and in its log.
        """
        kept = self.result()
        if kept:
            say(f"{title}: kept from an earlier run; remove {self.folder} to have it done again")
            return kept
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder) as lock:
            (self.folder / FINISHED).unlink(missing_ok=True)
            _write(self.folder / RECIPE, self.recipe)
            log_file = self.folder / f"{self.words[0]}.log"
            say(f"{title}: {self.words[0]}, log in {log_file}")
            start = time.perf_counter()
            command = [sys.executable, "-m", "fastreid_gdnorm", *map(str, self.words)]
            env = {**os.environ, "PYTHONWARNINGS": "ignore"}  # stderr is for the progress bar and the user's mistakes
            with open(log_file, "w") as log:
                done = subprocess.run(command, stdout=log, env=env, pass_fds=lock)
            if done.returncode:
                raise UserError(f"{title}: {self.words[0]} failed, see {log_file}")
            results = json.loads((self.folder / "test_results.json").read_text())
            result = {"results": results, "seconds": time.perf_counter() - start}
            _write(self.folder / FINISHED, json.dumps(result))
            return result


def train_row(folder, config, seed, overrides=()):
    """The training and test of a config, as by ``fastreid train``; one that was stopped goes on.

    Raises:
        UserError: the folder holds a run of other settings, or ``overrides`` say where or with which seed.
    """
    recipe = f"SEED: {seed}\n{_settings(config, overrides)}"
    begun = any((folder / name).exists() for name in (RECIPE, "last_checkpoint", "metrics.json"))
    if begun and _recipe_in(folder) != recipe:
        raise UserError(f"{folder} holds a run of other settings: remove it, or choose another folder")
    words = ["train", "--config-file", config, "--seed", seed, "--resume", "OUTPUT_DIR", folder, *overrides]
    return Row(folder, words, recipe)


def eval_row(folder, config, weights, overrides=()):
    """The test of a checkpoint, as by ``fastreid eval``; it takes the place of one of another checkpoint."""
    recipe = f"{digest(weights)}\n{_settings(config, overrides)}"
    words = ["eval", "--config-file", config, "--output", folder, "MODEL.WEIGHTS", weights, *overrides]
    return Row(folder, words, recipe)


def last_checkpoint(folder):
    """The last checkpoint of a training, or None."""
    return Checkpointer(None, str(folder)).get_checkpoint_file() or None


def digest(file):
    """The SHA-256 of a file's contents."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def say(text):
    """A line on stdout that leaves progress bars whole."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def _settings(config, overrides):
    for key, flag in FLAGS.items():
        if key in overrides[::2]:
            raise UserError(f"{key} is not for the overrides KEY VALUE ... here: use {flag}")
    return load_config(str(config), [*map(str, overrides), "OUTPUT_DIR", ""]).dump()


def _recipe_in(folder):
    return (folder / RECIPE).read_text() if (folder / RECIPE).is_file() else None


@contextlib.contextmanager
def _locked(folder):
    """Gives the file descriptors for a child to hold the lock as long as it lives, also if this process is killed."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield ()
        return
    with open(folder / LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"another process is at work in {folder}: wait for it, or stop it") from None
        yield (file.fileno(),)


def _write(file, text):
    """Whole or not at all, whenever it is killed."""
    part = file.with_suffix(".part")
    part.write_text(text)
    part.replace(file)
