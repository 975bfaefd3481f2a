"""``fastreid protocol``: the trainings and tests of one of the paper's protocols, and its table beside the paper's."""

from pathlib import Path
from typing import NamedTuple

from .comparison import compare, comparison_table, letters, save_comparison
from .data import read
from .engine.row import eval_row, finished_row, last_checkpoint, say, train_row
from .engine.setup import load_config, shipped
from .errors import UserError

CONFIGS = "projects/GDNorm/configs/protocol{}"
METHODS = {"gdnorm": "GDNorm", "branches": "branches only", "baseline": "baseline"}  # config: the paper's name


class Run(NamedTuple):
    """One training of a protocol, on the sources of a direction by a method, and its tests."""

    config: Path
    method: str
    direction: str  # as papers write it, D+C3+MT->M
    folder: Path  # where its results go

    @property
    def name(self):
        return f"{self.direction} {METHODS[self.method]}"


def protocol(number, output, methods, variant=None, only=(), eval_only=False, weights=(), seed=0, overrides=()):
    """Run a protocol and write comparison.md, .csv, .json and .png into ``output``.

    Every run is a process of its own; one that is done already is kept, one that was stopped goes on.

    Args:
        number: 1 or 2.
        methods: names in METHODS.
        variant: a folder of the protocol's configs.
        only: the directions to run, all if empty; finished runs of the others are in the table too.
        eval_only: only test, the checkpoints ``weights``, [DIRECTION=]FILE, or the last ones in ``output``.
        overrides: KEY, VALUE, ... for all runs.

    Raises:
        UserError: no such variant, method or direction, or a run failed.
    """
    output = Path(output)
    runs = list(_runs(number, output, methods, variant, overrides))
    chosen = _chosen(runs, only)
    checkpoints = _checkpoints(chosen, weights) if eval_only else {}
    _check_data_sets(chosen, overrides, eval_only)
    for place, run in enumerate(chosen, 1):
        title = f"[{place}/{len(chosen)}] {run.name}"
        if eval_only:
            eval_row(_eval_folder(run), run.config, checkpoints[run], title, overrides)
        else:
            train_row(run.folder, run.config, seed, title, overrides)
        table = _write(runs, output, eval_only)
    say(f"\n{table}")
    say(f"In {output}: comparison.md, .csv, .json, .png. Checkpoints and log.txt: {chosen[0].folder} and its like")


def variants(number):
    """The names of a protocol's variants: what lies in folders among its configs that are no directions."""
    folder = shipped(CONFIGS.format(number))
    return sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith("to-"))


def _runs(number, output, methods, variant, overrides):
    folder = shipped(CONFIGS.format(number))
    if variant:
        if variant not in variants(number):
            raise UserError(f"protocol {number} has no variant {variant!r}; it has {', '.join(variants(number))}")
        folder /= variant
    for method in methods:
        if method not in METHODS:
            raise UserError(f"--methods: there is no {method!r}; there are {', '.join(METHODS)}")
    order = [f"to-{target}" for target in ("market", "duke", "cuhk03", "msmt17")]  # the paper's
    for place in sorted(folder.glob("to-*"), key=lambda place: order.index(place.name)) or [folder]:
        for method in methods:
            config = place / f"{method}.yml"
            cfg = load_config(str(config), overrides)
            yield Run(config, method, direction_of(cfg), output / place.relative_to(folder) / method)


def direction_of(cfg):
    """Sources and targets as papers write them, D+C3+MT->M."""
    sources, targets = ("+".join(map(letters, names)) for names in (cfg.DATASETS.NAMES, cfg.DATASETS.TESTS))
    return f"{sources}->{targets}"


def _parts(direction):
    """Sources and targets, whatever the order that they are named in."""
    return tuple(frozenset(side.strip().split("+")) for side in direction.replace("→", "->").split("->"))


def _chosen(runs, only):
    for direction in only:
        if _parts(direction) not in [_parts(run.direction) for run in runs]:
            known = ", ".join(dict.fromkeys(run.direction for run in runs))
            raise UserError(f"--only: there is no {direction!r}; there are {known}")
    return [run for run in runs if not only or _parts(run.direction) in map(_parts, only)]


def _checkpoints(runs, weights):
    """{run: the checkpoint to test}."""
    given = dict(word.split("=", 1) if "=" in word else ("", word) for word in weights)
    if any(_parts(direction) not in [_parts(run.direction) for run in runs] for direction in given if direction):
        raise UserError(f"--weights {' '.join(weights)}: the directions are {', '.join(run.direction for run in runs)}")
    if "" in given and len(runs) > 1:
        raise UserError(f"--weights {given['']} is one file for {len(runs)} runs: DIRECTION=FILE, or choose by --only")
    found = {}
    for run in runs:
        of_direction = {_parts(direction or run.direction): file for direction, file in given.items()}
        found[run] = of_direction.get(_parts(run.direction)) or last_checkpoint(run.folder)
        if not found[run]:
            raise UserError(f"{run.name}: no checkpoint in {run.folder}; train it, or name one by --weights")
        if not Path(found[run]).is_file():
            raise UserError(f"{run.name}: checkpoint {found[run]} is not found")
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


def _eval_folder(run):
    return run.folder / "eval"


def _write(runs, output, eval_only):
    measured = []
    for run in runs:
        row = finished_row(_eval_folder(run) if eval_only else run.folder)
        if row:
            measured.append((run.direction, METHODS[run.method], row["results"]))
    lines = compare(measured)
    save_comparison(lines, output)
    return comparison_table(lines)
