"""One row of a table: a command run to its end in a process of its own, and not run again when it is done.

Where several processes lead each other (:func:`run_on_main`), it is one process of each.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from ..console import say
from ..disk import HELD, digest, locked, write_text
from ..errors import UserError
from ..training.progress_bar import LINE
from . import files
from .launcher import run_together
from .process_pool import threads_each
from .results import read_json, read_test_results
from .run_config import load_config

FLAGS = {"OUTPUT_DIR": "--output", "SEED": "--seed"}


class Row(NamedTuple):
    """What is run, where, and by what it is known: rows of one recipe are the same run."""

    folder: Path
    words: list[object]  # of the fastreid command
    recipe: str

    def result(self) -> dict[str, Any] | None:
        """{"results": {target: metrics}, "seconds": of the last start}, if it has ended; else None."""
        return read_json(self.folder / files.FINISHED) if _recipe_in(self.folder) == self.recipe else None

    def run(self, title: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Its result, from an earlier run if it has ended, else from one that is begun or gone on with.

        Args:
            env: what the command finds in its environment beside what is in this process's.

        Raises:
            UserError: another process is at it, or it failed: its own words are on stderr and in its log.
        """
        kept = self.result()
        if kept:
            say(f"{title}: kept from an earlier run; remove {self.folder} to have it done again")
            return kept
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder) as lock:
            (self.folder / files.FINISHED).unlink(missing_ok=True)
            write_text(self.folder / files.RECIPE, self.recipe)
            log_file = self.folder / files.log(str(self.words[0]))
            say(f"{title}: {self.words[0]}, log in {log_file}")
            start = time.perf_counter()
            command = [sys.executable, "-m", "fastreid_gdnorm", *map(str, self.words)]
            # stderr is for the progress bar and the user's mistakes
            env = {**os.environ, **(env or {}), "PYTHONWARNINGS": "ignore"}
            env.update((HELD, str(descriptor)) for descriptor in lock)
            with open(log_file, "w") as log:
                failed = run_together(command, stdout=log, env=env, pass_fds=lock)
            if failed:
                raise UserError(f"{title}: {self.words[0]} failed, see {log_file}")
            results = read_test_results(self.folder)
            if results is None:
                raise UserError(f"{title}: {self.words[0]} has left no results, see {log_file}")
            result = {"results": results, "seconds": time.perf_counter() - start}
            write_text(self.folder / files.FINISHED, json.dumps(result))
            return result


def train_row(folder: Path, config: str | Path, seed: int, overrides: Sequence[object] = ()) -> Row:
    """The training and test of a config, as by ``fastreid train``; one that was stopped goes on.

    Raises:
        UserError: the folder holds a run of other settings, or ``overrides`` say where or with which seed.
    """
    recipe = f"SEED: {seed}\n{_settings(config, overrides, trains=True)}"
    begun = any((folder / name).exists() for name in (files.RECIPE, files.LAST_CHECKPOINT, files.METRICS))
    if begun and _recipe_in(folder) != recipe:
        raise UserError(f"{folder} holds a run of other settings: remove it, or choose another folder")
    words = ["train", "--config-file", config, "--seed", seed, "--resume", "OUTPUT_DIR", folder, *overrides]
    return Row(folder, words, recipe)


def eval_row(
    folder: Path, config: str | Path, weights: str | Path, overrides: Sequence[object] = (), path: str = ""
) -> Row:
    """The test of a checkpoint, as by ``fastreid eval``; it takes the place of one of another checkpoint.

    Args:
        path: to test along, as ``--path`` has it; by default the config's.
    """
    along = ["--path", path] if path else []
    recipe = f"{digest(weights)}\n{path}{_settings(config, overrides)}"
    words = ["eval", "--config-file", config, "--output", folder, *along, "MODEL.WEIGHTS", weights, *overrides]
    return Row(folder, words, recipe)


def run_side_by_side(rows: Mapping[str, Row]) -> None:
    """Run rows by their titles, all at once, each on its share of the cores."""
    share = {"OMP_NUM_THREADS": str(threads_each(len(rows)))}
    with ThreadPoolExecutor(len(rows)) as pool:
        runs = [
            pool.submit(row.run, title, {**share, LINE: str(line)}) for line, (title, row) in enumerate(rows.items())
        ]
    for run in runs:
        run.result()


def _settings(config: str | Path, overrides: Sequence[object], trains: bool = False) -> str:
    for key, flag in FLAGS.items():
        if key in overrides[::2]:
            raise UserError(f"{key} is not for the overrides KEY VALUE ... here: use {flag}")
    return str(load_config(config, [*map(str, overrides), "OUTPUT_DIR", ""], trains=trains).dump())


def _recipe_in(folder: Path) -> str | None:
    return (folder / files.RECIPE).read_text() if (folder / files.RECIPE).is_file() else None
