"""``fastreid protocol``: the trainings and tests of one of the paper's protocols, and its table beside the paper's."""

from pathlib import Path
from typing import NamedTuple

from ..console import say
from ..data import read
from ..errors import UserError
from ..runs.checkpoints import last_checkpoint
from ..runs.config import load_config, shipped
from ..runs.methods import METHODS
from ..runs.rows import eval_row, train_row
from .comparison import compare, comparison_table, letters, save_comparison

CONFIGS = "projects/GDNorm/configs/protocol{}"
TARGETS = ("market", "duke", "cuhk03", "msmt17")  # of Protocol-2, in the paper's order


class Run(NamedTuple):
    """One training of a protocol, on the sources of a direction by a method, and its tests."""

    config: Path
    method: str
    direction: str  # as papers write it, D+C3+MT->M
    folder: Path  # where its results go

    @property
    def name(self):
        return f"{self.direction} {METHODS[self.method]}"


def run_protocol(number, output, methods, variant=None, only=(), eval_only=False, weights=(), seed=0, overrides=()):
    """Run a protocol and write comparison.md, .csv, .json and .png into ``output``.

    Every run is a process of its own; one that is done already is kept, one that was stopped goes on. What was
    trained into ``output`` before with the same settings, by other methods or in other directions, is in the
    comparison too.

    Args:
        number: 1 or 2.
        methods: names in METHODS.
        variant: a folder of the protocol's configs.
        only: the directions to run, all if empty.
        eval_only: only test, the checkpoints ``weights``, [DIRECTION=]FILE, or the last ones in ``output``; the
            comparison is in its folder eval.
        overrides: KEY, VALUE, ... for all runs.

    Raises:
        UserError: no such variant, method or direction, or a run failed.
    """
    output = Path(output)
    runs = list(_runs(number, output, variant, overrides))
    chosen = _chosen(runs, methods, only)
    if eval_only:
        output = output / "eval"
        rows = {
            run: eval_row(run.folder / "eval", run.config, checkpoint, overrides)
            for run, checkpoint in _checkpoints(chosen, weights).items()
        }
    elif weights:
        raise UserError("--weights is for --eval-only; a training starts from MODEL.WEIGHTS FILE")
    else:
        rows = {run: train_row(run.folder, run.config, seed, overrides) for run in chosen}
    _check_data_sets(chosen, overrides, eval_only)
    for place, run in enumerate(chosen, 1):
        rows[run].run(f"[{place}/{len(chosen)}] {run.name}")
        table = _write(_with_earlier(runs, rows, seed, overrides, eval_only), output)
    say(f"\n{table}\nIn {output}: comparison.md, .csv, .json, .png. Checkpoints, logs: {chosen[0].folder} and its like")


def variants(number):
    """The names of a protocol's variants: what lies in folders among its configs that are no directions."""
    folder = shipped(CONFIGS.format(number))
    return sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith("to-"))


def _runs(number, output, variant, overrides):
    folder = shipped(CONFIGS.format(number))
    if variant:
        if variant not in variants(number):
            raise UserError(f"protocol {number} has no variant {variant!r}; it has {', '.join(variants(number))}")
        folder /= variant
    places = [folder / f"to-{target}" for target in TARGETS]
    for place in [place for place in places if place.is_dir()] or [folder]:
        for method in METHODS:
            cfg = load_config(str(place / f"{method}.yml"), overrides)
            run_folder = output / place.relative_to(folder) / method
            yield Run(place / f"{method}.yml", method, direction_of(cfg), run_folder)


def direction_of(cfg):
    """Sources and targets as papers write them, D+C3+MT->M."""
    sources, targets = ("+".join(map(letters, names)) for names in (cfg.DATASETS.NAMES, cfg.DATASETS.TESTS))
    return f"{sources}->{targets}"


def _parts(direction):
    """Sources and targets, whatever the order that they are named in."""
    return tuple(frozenset(side.strip().split("+")) for side in direction.replace("→", "->").split("->"))


def _chosen(runs, methods, only):
    for method in methods:
        if method not in METHODS:
            raise UserError(f"--methods: there is no {method!r}; there are {', '.join(METHODS)}")
    for direction in only:
        if _parts(direction) not in [_parts(run.direction) for run in runs]:
            raise UserError(f"--only: there is no {direction!r}; there are {_directions(runs)}")
    wanted = [_parts(direction) for direction in only] or [_parts(run.direction) for run in runs]
    return [run for run in runs if run.method in methods and _parts(run.direction) in wanted]


def _directions(runs):
    return ", ".join(dict.fromkeys(run.direction for run in runs))


def _checkpoints(runs, weights):
    """{run: the checkpoint to test}."""
    if weights and len({run.method for run in runs}) > 1:
        raise UserError("--weights is for one method: choose it by --methods")
    if len(runs) > 1 and any("->" not in word for word in weights):
        raise UserError(f"--weights {weights[0]} is one file for {len(runs)} runs: DIRECTION=FILE, or choose by --only")
    given = {}
    for word in weights:
        direction, file = word.split("=", 1) if "->" in word.split("=")[0] else (runs[0].direction, word)
        given[_parts(direction)] = file
        if _parts(direction) not in [_parts(run.direction) for run in runs]:
            raise UserError(f"--weights {word}: the directions are {_directions(runs)}")
    found = {run: given.get(_parts(run.direction)) or last_checkpoint(run.folder) for run in runs}
    for run, file in found.items():
        if not file:
            raise UserError(f"{run.name}: no checkpoint in {run.folder}; train it, or name one by --weights")
        if not Path(file).is_file():
            raise UserError(f"{run.name}: checkpoint {file} is not found")
    return found


def _check_data_sets(runs, overrides, eval_only):
    """What is missing is better said before the first training than after it."""
    seen = set()
    for run in runs:
        cfg = load_config(str(run.config), overrides)
        for name in (*(() if eval_only else cfg.DATASETS.NAMES), *cfg.DATASETS.TESTS):
            if name not in seen:
                data = read(cfg, name)
                _ = data.train, data.query, data.gallery  # read when they are asked for
                seen.add(name)


def _with_earlier(runs, rows, seed, overrides, eval_only):
    """(direction, method, results) of every run that is done."""
    for run in runs:
        row = rows.get(run)
        if row is None and not eval_only and run.folder.is_dir():
            try:
                row = train_row(run.folder, run.config, seed, overrides)
            except UserError:
                continue  # of other settings
        result = row and row.result()
        if result:
            yield run.direction, METHODS[run.method], result["results"]


def _write(measured, output):
    lines = compare(list(measured))
    output.mkdir(parents=True, exist_ok=True)
    save_comparison(lines, output)
    return comparison_table(lines)
