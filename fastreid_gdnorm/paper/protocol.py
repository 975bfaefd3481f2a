"""Runs the trainings and tests of one of the paper's protocols, and compares them with the paper."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..console import say
from ..data import read
from ..disk import check_writable
from ..errors import UserError
from ..runs import files
from ..runs.experiments import Row, eval_row, train_row
from ..runs.methods import METHODS
from ..runs.run_checkpoints import last_checkpoint
from ..runs.run_config import load_config, shipped
from .comparison import Comparison, Measured
from .directions import Direction

CONFIGS = "projects/GDNorm/configs/protocol{}"
TARGETS = ("market", "duke", "cuhk03", "msmt17")  # of Protocol-2, in the paper's order


class Run(NamedTuple):
    """One training, by a method on the sources of a direction, and its tests."""

    config: Path
    method: str
    direction: Direction
    folder: Path  # for the results

    @property
    def name(self) -> str:
        """The name in messages."""
        return f"{self.direction} {METHODS[self.method]}"


class Protocol:
    """The runs of protocol 1 or 2.

    Each run has its own process. Finished runs are skipped, and interrupted ones resume. ``train`` and ``test`` write
    comparison.md, .csv, .json and .png after every run.

    Args:
        number: 1 or 2.
        output: the folder for the runs and the comparison.
        variant: a folder of the protocol's configs, one of :func:`variants`.
        overrides: KEY, VALUE, ... for all runs.

    Raises:
        UserError: the variant does not exist, or the overrides have a mistake.
    """

    def __init__(
        self, number: int, output: str | Path, variant: str | None = None, overrides: Sequence[object] = ()
    ) -> None:
        self.output = Path(output)
        check_writable(self.output)
        self.overrides = overrides
        self.runs = list(self._runs(number, variant))

    def choose(self, methods: Iterable[str], only: Sequence[str] = ()) -> list[Run]:
        """The runs by ``methods``, keys of METHODS, in the directions ``only``; an empty ``only`` means all directions.

        Raises:
            UserError: a method or direction does not exist.
        """
        for method in methods:
            if method not in METHODS:
                raise UserError(f"--methods: there is no {method!r}; choose from {', '.join(METHODS)}")
        for text in only:
            if Direction.parse(text) not in self._directions:
                raise UserError(f"--only: there is no {text!r}; choose from {', '.join(map(str, self._directions))}")
        wanted = [Direction.parse(text) for text in only] or self._directions
        return [run for run in self.runs if run.method in methods and run.direction in wanted]

    def train(self, runs: Sequence[Run], seed: int = 0) -> None:
        """Train and test ``runs``.

        The comparison includes earlier runs in the same output with the same settings, whatever their method or
        direction.

        Raises:
            UserError: a data set is missing, a folder holds a run with other settings, or a run failed.
        """
        rows = {run: train_row(run.folder, run.config, seed, self.overrides) for run in runs}
        self._check_data_sets(runs, with_sources=True)
        self._work(rows, self.output, lambda run: self._earlier(run, seed))

    def test(self, runs: Sequence[Run], weights: Sequence[str] = ()) -> None:
        """Only test ``runs``, with the checkpoints ``weights``, [DIRECTION=]FILE, or else the last ones in the output.

        The comparison goes into a folder of its own in the output.

        Raises:
            UserError: a data set or a checkpoint is missing, ``weights`` do not fit the runs, or a test failed.
        """
        rows = {
            run: eval_row(run.folder / files.evaluation(), run.config, checkpoint, self.overrides)
            for run, checkpoint in self._checkpoints(runs, weights).items()
        }
        self._check_data_sets(runs, with_sources=False)
        self._work(rows, self.output / files.evaluation())

    @property
    def _directions(self) -> list[Direction]:
        return list(dict.fromkeys(run.direction for run in self.runs))

    def _runs(self, number: int, variant: str | None) -> Iterator[Run]:
        folder = shipped(CONFIGS.format(number))
        if variant:
            if variant not in variants(number):
                known = ", ".join(variants(number))
                raise UserError(f"--variant: there is no {variant!r} in protocol {number}; choose from {known}")
            folder /= variant
        per_target = [folder / f"to-{target}" for target in TARGETS]
        for subfolder in [subfolder for subfolder in per_target if subfolder.is_dir()] or [folder]:
            for method in METHODS:
                config = subfolder / f"{method}.yml"
                direction = Direction.of(load_config(config, self.overrides))
                yield Run(config, method, direction, self.output / subfolder.relative_to(folder) / method)

    def _checkpoints(self, runs: Sequence[Run], weights: Sequence[str]) -> dict[Run, str]:
        if weights and len({run.method for run in runs}) > 1:
            raise UserError("--weights works for one method only: choose it with --methods")
        if len(runs) > 1 and any("->" not in argument for argument in weights):
            raise UserError(
                f"--weights {weights[0]} is one file for {len(runs)} runs: write DIRECTION=FILE, or choose a run with "
                "--only"
            )
        given = {}
        for argument in weights:
            has_direction = "->" in argument.split("=")[0]
            text, file = argument.split("=", 1) if has_direction else (str(runs[0].direction), argument)
            given[Direction.parse(text)] = file
            if Direction.parse(text) not in [run.direction for run in runs]:
                directions = dict.fromkeys(str(run.direction) for run in runs)
                raise UserError(f"--weights: there is no {text!r}; choose from {', '.join(directions)}")
        found = {}
        for run in runs:
            checkpoint = given.get(run.direction) or last_checkpoint(run.folder)
            if not checkpoint:
                raise UserError(f"{run.name}: {run.folder} has no checkpoint: train first, or name one with --weights")
            if not Path(checkpoint).is_file():
                raise UserError(f"{run.name}: checkpoint {checkpoint} does not exist")
            found[run] = checkpoint
        return found

    def _check_data_sets(self, runs: Iterable[Run], with_sources: bool) -> None:
        """Fail before the first run if a data set is missing."""
        seen = set()
        for run in runs:
            cfg = load_config(run.config, self.overrides)
            for name in (*(cfg.DATASETS.NAMES if with_sources else ()), *cfg.DATASETS.TESTS):
                if name not in seen:
                    data = read(cfg, name)
                    _ = data.train, data.query, data.gallery  # accessing them reads the data set
                    seen.add(name)

    def _earlier(self, run: Run, seed: int) -> Row | None:
        """The row of an earlier training, or of another process's; None if its settings differ."""
        if not run.folder.is_dir():
            return None
        try:
            return train_row(run.folder, run.config, seed, self.overrides)
        except UserError:
            return None

    def _work(
        self, rows: dict[Run, Row], output: Path, earlier: Callable[[Run], Row | None] = lambda run: None
    ) -> None:
        for number, (run, row) in enumerate(rows.items(), 1):
            row.run(f"[{number}/{len(rows)}] {run.name}")
            comparison = Comparison(self._measured(rows, earlier))
            comparison.save(output)
        folder = next(iter(rows)).folder
        say(
            f"\n{comparison.table()}\nIn {output}: comparison.md, .csv, .json, .png. "
            f"Checkpoints and logs: {folder} and the folders beside it"
        )

    def _measured(self, rows: dict[Run, Row], earlier: Callable[[Run], Row | None]) -> Iterator[Measured]:
        for run in self.runs:
            row = rows.get(run) or earlier(run)
            result = row.result() if row else None
            if result:
                yield Measured(run.direction, METHODS[run.method], result["results"])


def variants(number: int) -> list[str]:
    """The names of a protocol's variants: the folders of its configs that are not directions."""
    folder = shipped(CONFIGS.format(number))
    return sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith("to-"))
