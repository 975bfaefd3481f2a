"""Runs the trainings and tests of a protocol, and compares them with published numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fastreid.config import CfgNode
from fastreid.data.datasets import DATASET_REGISTRY

from ..console import say
from ..data import is_read_by, read
from ..data.readers import READERS
from ..disk import check_writable
from ..errors import UserError
from ..runs import files
from ..runs.experiments import Row, eval_row, train_row
from ..runs.methods import METHODS
from ..runs.run_checkpoints import last_checkpoint
from ..runs.run_config import load_config, shipped
from .comparison import Comparison, Measured
from .directions import Direction
from .variants import config_folder, direction_folder, find_variant


class Run(NamedTuple):
    """One training, by a method on the sources of a direction, and its tests."""

    config: Path
    method: str
    direction: Direction
    folder: Path  # for the results
    all_images: bool  # whether it trains on the sources' query and gallery images too

    @property
    def name(self) -> str:
        """The name in messages."""
        return f"{self.direction} {METHODS[self.method]}"


class Protocol:
    """The runs of a protocol.

    Each run has its own process. Finished runs are skipped, and interrupted ones resume. ``train`` and ``test`` write
    comparison.md, .csv, .json and .png after every run.

    Args:
        name: a key of PROTOCOLS.
        output: the folder for the runs and the comparison.
        variant: the name of one of the protocol's variants; "" is the protocol itself.
        overrides: KEY, VALUE, ... for all runs.

    Raises:
        UserError: the variant does not exist, or the overrides have a mistake.
    """

    def __init__(self, name: str, output: str | Path, variant: str = "", overrides: Sequence[object] = ()) -> None:
        self.output = Path(output)
        check_writable(self.output)
        self.overrides = overrides
        self.runs = list(self._runs(name, variant))

    def choose(self, methods: Sequence[str] = (), only: Sequence[str] = ()) -> list[Run]:
        """The runs by ``methods``, keys of METHODS, in the directions ``only``.

        Without ``methods``, those by the protocol's first method; without ``only``, those in all directions.

        Raises:
            UserError: a method or direction does not exist.
        """
        known = list(dict.fromkeys(run.method for run in self.runs))
        methods = methods or known[:1]
        for method in methods:
            if method not in known:
                raise UserError(f"--methods: there is no {method!r}; choose from {', '.join(known)}")
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

    def plan(self, runs: Sequence[Run], seed: int = 0) -> str:
        """What ``train`` would do, one line for each run; reads no data set.

        Raises:
            UserError: a folder holds a run with other settings, or the overrides have a mistake.
        """
        lines = []
        for run in runs:
            row = train_row(run.folder, run.config, seed, self.overrides)
            cfg = load_config(run.config, self.overrides)
            height, width = cfg.INPUT.SIZE_TRAIN
            images = "all images" if cfg.DATASETS.COMBINEALL else "training splits"
            sources, targets = (", ".join(_described(cfg, names)) for names in (cfg.DATASETS.NAMES, cfg.DATASETS.TESTS))
            lines.append(
                f"{run.name}: train {run.config} at {height}x{width} on {images} of {sources}; "
                f"test on {targets}; in {run.folder}{' (finished)' if row.result() else ''}"
            )
        return "\n".join(lines)

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

    def _runs(self, name: str, variant: str) -> Iterator[Run]:
        chosen = find_variant(name, variant)
        for planned in map(Direction.parse, chosen.directions):
            configs, folder = shipped(config_folder(name, variant, planned)), direction_folder(planned)
            for method in chosen.methods:
                config = configs / f"{method}.yml"
                cfg = load_config(config, self.overrides)
                output = self.output / folder / method
                yield Run(config, method, Direction.of(cfg), output, cfg.DATASETS.COMBINEALL)

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
                yield Measured(run.direction, METHODS[run.method], result["results"], run.all_images)


def _described(cfg: CfgNode, names: Iterable[str]) -> Iterator[str]:
    """Data sets, public ones with the variants that the config selects: DGCUHK03 (boxes detected)."""
    for name in names:
        keys = DATASET_REGISTRY.get(name).from_config(cfg) if is_read_by(READERS, name) else {}
        variant = ", ".join(f"{key} {value}" for key, value in keys.items())
        yield f"{name} ({variant})" if variant else name
