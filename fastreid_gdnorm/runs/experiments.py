"""Experiments, each a row of a results table: a row runs a command in its own process; a finished one is kept.

Under :func:`run_on_main`, each of the several processes starts one child, and the children run the command together.
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
    """A command, its folder and the recipe that identifies it: rows with equal recipes are the same run."""

    folder: Path
    arguments: list[object]  # of the fastreid command
    recipe: str

    def result(self) -> dict[str, Any] | None:
        """{"results": {target: metrics}, "seconds": duration} if the run has finished; else None.

        The duration of a run that was interrupted counts from its last resume.
        """
        return read_json(self.folder / files.FINISHED) if _recipe_in(self.folder) == self.recipe else None

    def run(self, title: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Run the command, or resume it, and return its result; a finished run's result is returned at once.

        Args:
            title: what messages call the row.
            env: environment variables for the command, beside this process's own.

        Raises:
            UserError: another process works on the row, or the command failed; its message is on stderr and in its log.
        """
        kept = self.result()
        if kept:
            say(f"{title}: kept from an earlier run; remove {self.folder} to run it again")
            return kept
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder) as lock:
            (self.folder / files.FINISHED).unlink(missing_ok=True)
            write_text(self.folder / files.RECIPE, self.recipe)
            name = str(self.arguments[0])
            log_file = self.folder / files.log(name)
            say(f"{title}: {name}, log: {log_file}")
            start = time.perf_counter()
            command = [sys.executable, "-m", "fastreid_gdnorm", *map(str, self.arguments)]
            # keep warnings off stderr, which shows the progress bar and error messages
            env = {**os.environ, **(env or {}), "PYTHONWARNINGS": "ignore"}
            env.update((HELD, str(descriptor)) for descriptor in lock)
            with open(log_file, "w") as log:
                failed = run_together(command, stdout=log, env=env, pass_fds=lock)
            if failed:
                raise UserError(f"{title}: {name} failed, see {log_file}")
            results = read_test_results(self.folder)
            if results is None:
                raise UserError(f"{title}: {name} wrote no results, see {log_file}")
            result = {"results": results, "seconds": time.perf_counter() - start}
            write_text(self.folder / files.FINISHED, json.dumps(result))
            return result


def train_row(folder: Path, config: str | Path, seed: int, overrides: Sequence[object] = ()) -> Row:
    """The row that trains and tests a config with ``fastreid train``; an interrupted run resumes.

    Raises:
        UserError: the folder holds a run with other settings, or ``overrides`` have OUTPUT_DIR or SEED.
    """
    recipe = f"SEED: {seed}\n{_settings(config, overrides, trains=True)}"
    started = any((folder / name).exists() for name in (files.RECIPE, files.LAST_CHECKPOINT, files.METRICS))
    if started and _recipe_in(folder) != recipe:
        raise UserError(f"{folder} holds a run with other settings: remove it, or choose another folder")
    arguments = ["train", "--config-file", config, "--seed", seed, "--resume", "OUTPUT_DIR", folder, *overrides]
    return Row(folder, arguments, recipe)


def eval_row(
    folder: Path, config: str | Path, weights: str | Path, overrides: Sequence[object] = (), path: str = ""
) -> Row:
    """The row that tests a checkpoint with ``fastreid eval``; it replaces another checkpoint's results in the folder.

    Args:
        path: the path to test along, as in ``--path``; by default the config's.
    """
    flags = ["--path", path] if path else []
    recipe = f"{digest(weights)}\n{path}{_settings(config, overrides)}"
    arguments = ["eval", "--config-file", config, "--output", folder, *flags, "MODEL.WEIGHTS", weights, *overrides]
    return Row(folder, arguments, recipe)


def run_side_by_side(rows: Mapping[str, Row]) -> None:
    """Run {title: row} all at the same time, each on its share of the cores."""
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
            raise UserError(f"the overrides KEY VALUE ... cannot set {key} here: use {flag}")
    return str(load_config(config, [*map(str, overrides), "OUTPUT_DIR", ""], trains=trains).dump())


def _recipe_in(folder: Path) -> str | None:
    return (folder / files.RECIPE).read_text() if (folder / files.RECIPE).is_file() else None
