"""The trainings and tests of one of the paper's protocols, and their table beside the paper's."""

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
    """One training, on the sources of a direction by a method, and its tests."""

    config: Path
    method: str
    direction: Direction
    folder: Path  # where its results go

    @property
    def name(self) -> str:
        """What it is called in front of people."""
        return f"{self.direction} {METHODS[self.method]}"


class Protocol:
    """The runs of protocol 1 or 2.

    Each is a process of its own; one that is done is kept, one that was stopped goes on.

    ``train`` and ``test`` write comparison.md, .csv, .json and .png after every run.

    Args:
        number: 1 or 2.
        output: the folder for the runs and the comparison.
        variant: a folder of the protocol's configs, one of :func:`variants`.
        overrides: KEY, VALUE, ... for all runs.

    Raises:
        UserError: there is no such variant, or the overrides have a mistake.
    """

    def __init__(
        self, number: int, output: str | Path, variant: str | None = None, overrides: Sequence[object] = ()
    ) -> None:
        self.output = Path(output)
        check_writable(self.output)
        self.overrides = overrides
        self.runs = list(self._runs(number, variant))

    def choose(self, methods: Iterable[str], only: Sequence[str] = ()) -> list[Run]:
        """The runs by ``methods``, keys of METHODS, in the directions ``only``, in all if there are none.

        Raises:
            UserError: there is no such method or direction.
        """
        for method in methods:
            if method not in METHODS:
                raise UserError(f"--methods: there is no {method!r}; there are {', '.join(METHODS)}")
        for text in only:
            if Direction.parse(text) not in self._directions:
                raise UserError(f"--only: there is no {text!r}; there are {', '.join(map(str, self._directions))}")
        wanted = [Direction.parse(text) for text in only] or self._directions
        return [run for run in self.runs if run.method in methods and run.direction in wanted]

    def train(self, runs: Sequence[Run], seed: int = 0) -> None:
        """Train and test ``runs``.

        What was trained into the same output before with the same settings, by other methods or in other directions,
        is in the comparison too.

        Raises:
            UserError: a data set is missing, a folder holds a run of other settings, or a run failed.
        """
        rows = {run: train_row(run.folder, run.config, seed, self.overrides) for run in runs}
        self._check_data_sets(runs, with_sources=True)
        self._work(rows, self.output, lambda run: self._earlier(run, seed))

    def test(self, runs: Sequence[Run], weights: Sequence[str] = ()) -> None:
        """Only test ``runs``, of the checkpoints ``weights``, [DIRECTION=]FILE, or of the last ones in the output.

        The comparison is in a folder for tests in the output.

        Raises:
            UserError: a data set or a checkpoint is missing, it is not said which run a checkpoint is of, or a test
                failed.
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
                raise UserError(f"protocol {number} has no variant {variant!r}; it has {', '.join(variants(number))}")
            folder /= variant
        places = [folder / f"to-{target}" for target in TARGETS]
        for place in [place for place in places if place.is_dir()] or [folder]:
            for method in METHODS:
                config = place / f"{method}.yml"
                direction = Direction.of(load_config(config, self.overrides))
                yield Run(config, method, direction, self.output / place.relative_to(folder) / method)

    def _checkpoints(self, runs: Sequence[Run], weights: Sequence[str]) -> dict[Run, str]:
        if weights and len({run.method for run in runs}) > 1:
            raise UserError("--weights is for one method: choose it by --methods")
        if len(runs) > 1 and any("->" not in word for word in weights):
            raise UserError(
                f"--weights {weights[0]} is one file for {len(runs)} runs: DIRECTION=FILE, or choose by --only"
            )
        given = {}
        for word in weights:
            text, file = word.split("=", 1) if "->" in word.split("=")[0] else (str(runs[0].direction), word)
            given[Direction.parse(text)] = file
            if Direction.parse(text) not in [run.direction for run in runs]:
                directions = dict.fromkeys(str(run.direction) for run in runs)
                raise UserError(f"--weights {word}: the directions are {', '.join(directions)}")
        found = {}
        for run in runs:
            checkpoint = given.get(run.direction) or last_checkpoint(run.folder)
            if not checkpoint:
                raise UserError(f"{run.name}: no checkpoint in {run.folder}; train it, or name one by --weights")
            if not Path(checkpoint).is_file():
                raise UserError(f"{run.name}: checkpoint {checkpoint} is not found")
            found[run] = checkpoint
        return found

    def _check_data_sets(self, runs: Iterable[Run], with_sources: bool) -> None:
        """What is missing is better said before the first run than after it."""
        seen = set()
        for run in runs:
            cfg = load_config(run.config, self.overrides)
            for name in (*(cfg.DATASETS.NAMES if with_sources else ()), *cfg.DATASETS.TESTS):
                if name not in seen:
                    data = read(cfg, name)
                    _ = data.train, data.query, data.gallery  # read when they are asked for
                    seen.add(name)

    def _earlier(self, run: Run, seed: int) -> Row | None:
        """What was trained before, perhaps by another process in the meantime; None if it has other settings."""
        if not run.folder.is_dir():
            return None
        try:
            return train_row(run.folder, run.config, seed, self.overrides)
        except UserError:
            return None

    def _work(
        self, rows: dict[Run, Row], output: Path, earlier: Callable[[Run], Row | None] = lambda run: None
    ) -> None:
        for place, (run, row) in enumerate(rows.items(), 1):
            row.run(f"[{place}/{len(rows)}] {run.name}")
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
    """The names of a protocol's variants: what lies in folders among its configs that are no directions."""
    folder = shipped(CONFIGS.format(number))
    return sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith("to-"))
