"""How a report opens: what was done, what came out, and how far to trust it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastreid.config import CfgNode

from ..evaluation import HEADLINE, METRICS, header, metric_text
from ..runs import files
from ..runs.methods import METHODS, method
from ..runs.run_config import flat
from ..runs.run_data import RunData
from ..runs.run_folder import RunFolder
from .document import Cell, Paragraph, Table

COARSE = 2  # points of Rank-1; a 95 % interval that is wider to either side is worth a warning
LOCAL_KEYS = ("OUTPUT_DIR", "MODEL.WEIGHTS", "MODEL.DEVICE")  # keys that do not affect a training's result

Runs = Mapping[str, RunFolder]  # by name; the others are compared with the first
Data = Mapping[str, RunData]


def introduction(runs: Runs) -> Iterator[Paragraph]:
    """A paragraph on each run: method, sources, targets, headline numbers."""
    (first, reference), *_ = runs.items()
    for name, run in runs.items():
        cfg = run.cfg
        trained = (
            f"{name} is {_in_words(cfg)}, trained for {cfg.SOLVER.MAX_EPOCH} epochs on {_and(cfg.DATASETS.NAMES)} with "
            f"{'a random seed' if cfg.SEED < 0 else f'seed {cfg.SEED}'}."
        )
        yield Paragraph(" ".join([trained, *(_reached(run, target, first, reference) for target in run.results)]))
    yield Paragraph(
        "Rank-1 is the share of queries whose first match is right. mAP (mean average precision) also measures how "
        "high all other right matches rank. A query is matched with images from other cameras only."
    )


def warnings_about(runs: Runs, data: Data) -> list[Paragraph]:
    """Reasons to be careful with the numbers, a paragraph each."""
    texts = [
        f"{name} was tested with {files.BEST}, the checkpoint with the best score in this same test: expect lower "
        "numbers elsewhere."
        for name, run in runs.items()
        if run.weights.name == files.BEST
    ]
    texts += [
        f"The last checkpoint of {name} is {run.weights.name}, not {files.FINAL}: its training may not have finished."
        for name, run in runs.items()
        if run.weights.name not in (files.BEST, files.FINAL)
    ]
    for name, run in runs.items():
        texts += [
            f"{name} was also trained on {target}, so its results there say nothing about places it has not seen."
            for target in run.targets
            if target in run.cfg.DATASETS.NAMES
        ]
    left_out = {item for of_run in data.values() for item in of_run.unmatched.items()}
    texts += [
        f"{count:,} queries of {target} are left out of the results because no gallery image shows the same person "
        "from another camera."
        for target, count in sorted(left_out)
        if count
    ]
    texts += _coarse(runs, data)
    if len(runs) > 1:
        texts.append(
            "Each run is a single training. Two trainings that differ only in their seed also differ by a few points."
        )
    return [Paragraph(text, is_warning=True) for text in texts]


def _coarse(runs: Runs, data: Data) -> Iterator[str]:
    """The targets with too few queries for precise numbers."""
    for target in dict.fromkeys(target for run in runs.values() for target in run.targets):
        tested = [name for name, run in runs.items() if target in run.targets]
        points = max(data[name].uncertainty(target, runs[name].results[target]["Rank-1"]) for name in tested)
        if points > COARSE:
            query, gallery = data[tested[0]].targets[target]
            yield (
                f"{target} has only {query.images:,} queries of {query.identities:,} people and {gallery.images:,} "
                f"gallery images, so Rank-1 is known to no better than ± {points:.0f} points (95 %). In a gallery with "
                "more people it would be lower."
            )


def results_tables(runs: Runs) -> Iterator[Paragraph | Table]:
    """A table for each target, with the differences from the first run."""
    (first, reference), *others = runs.items()
    if others:
        yield Paragraph(f"In %. In colour, or in brackets: the difference from {first}, in points.")
    else:
        yield Paragraph("In %. To compare runs, pass several: `fastreid report BASELINE_DIR RUN_DIR`.")
    for target in dict.fromkeys(target for run in runs.values() for target in run.results):
        rows = [
            [name, *(_cell(run, reference, target, metric) for metric in METRICS)]
            for name, run in runs.items()
            if target in run.results
        ]
        yield Table([target, *(header(metric) for metric in METRICS)], rows)


def settings_table(runs: Runs) -> Table:
    """What each run was trained and tested on, a column per run; then every key that differs."""
    columns = [_about(run) for run in runs.values()]
    rows: list[list[str]] = [[what, *(column[what] for column in columns)] for what in columns[0]]
    settings = [_settings(run) for run in runs.values()]
    for key in dict.fromkeys(key for of_run in settings for key in of_run):
        values = [str(of_run.get(key, "-")) for of_run in settings]
        if len({*values} - {"-"}) > 1:
            rows.append([f"`{key}`", *values])
    return Table(["", *runs], rows)


def data_tables(data: Data) -> Iterator[Paragraph | Table]:
    """The counts of all data sets, and a line for each that is not on disk."""
    rows: dict[tuple[str, ...], None] = {}
    missing: dict[str, str] = {}
    for of_run in data.values():
        for role, parts_of in ("source", of_run.sources), ("target", of_run.targets):
            for name, parts in parts_of.items():
                splits = f", first of {of_run.splits[name]} splits" if name in of_run.splits else ""
                for part in parts:
                    row = [name, f"{role}: {part.name}{splits if role == 'target' else ''}"]
                    rows[tuple(row + [f"{count:,}" for count in part[1:]])] = None
        missing.update(of_run.missing)
    if rows:
        yield Table(["", "", "People", "Images", "Cameras"], [[*row[:2], *map(Cell, row[2:])] for row in rows])
    for reason in missing.values():
        yield Paragraph(f"Not counted: {reason}")


def _about(run: RunFolder) -> dict[str, str]:
    cfg = run.cfg
    return {
        "Method": METHODS[method(cfg)],
        "Trained on": ", ".join(cfg.DATASETS.NAMES),
        "Tested on": ", ".join(run.targets),
        "Network": _network(cfg),
        "Images": " × ".join(map(str, cfg.INPUT.SIZE_TEST)) + " (height × width)",
        "Batch": f"{cfg.SOLVER.IMS_PER_BATCH} images",
        "Epochs": str(cfg.SOLVER.MAX_EPOCH),
        "Seed": "random" if cfg.SEED < 0 else str(cfg.SEED),
        "Tested along": f"path {cfg.MODEL.GDNORM.TEST_PATH}" if run.is_gdnorm else "-",
        "Checkpoint": run.weights.name,
        "Versions": ", ".join(map(" ".join, run.versions().items())) or "not known",
    }


def _in_words(cfg: CfgNode) -> str:
    gdnorm, network = cfg.MODEL.GDNORM, _network(cfg)
    branches = f"with a batch-norm branch for each of {len(cfg.DATASETS.NAMES)} sources"
    return {
        "baseline": f"a baseline, {network} with plain batch norm",
        "balanced": f"a baseline, {network} with plain batch norm, on balanced batches",
        "branches": f'branches only (the paper\'s "E"), {network} {branches}',
        "recommended": f"branches only, {network} {branches}, tested along a mean path with statistics of its own",
        "gdnorm": f"GDNorm, {network} {branches} and {gdnorm.NUM_PATHS} sampled path{'s' * (gdnorm.NUM_PATHS > 1)} "
        f"per step (lambda {gdnorm.LAMBDA:g}, noise by {gdnorm.NOISE})",
    }[method(cfg)]


def _reached(run: RunFolder, target: str, first: str, reference: RunFolder) -> str:
    """A sentence on a run's result, compared with the run ``reference``, whose name is ``first``."""
    numbers = _and([f"{metric} {metric_text(run.results[target], metric)}\u00a0%" for metric in HEADLINE])
    deltas = [_delta(run, reference, target, metric) for metric in HEADLINE]
    against = "" if None in deltas else f" ({_and([f'{delta:+.1f}' for delta in deltas])} points from {first})"
    where = f"On {target}" if target in run.targets else "On average over the targets with splits"
    unseen = ", which it has not seen," if target in run.targets and target not in run.cfg.DATASETS.NAMES else ""
    return f"{where}{unseen} it reaches {numbers}{against}."


def _network(cfg: CfgNode) -> str:
    name = cfg.MODEL.GDNORM.BACKBONE if cfg.MODEL.BACKBONE.NAME == "build_gdnorm_backbone" else cfg.MODEL.BACKBONE.NAME
    kind = name.replace("build_", "").replace("_backbone", "")
    return f"{kind} {cfg.MODEL.BACKBONE.DEPTH}{' with IBN' * cfg.MODEL.BACKBONE.WITH_IBN}"


def _settings(run: RunFolder) -> dict[str, Any]:
    """{key: value} of the settings that can affect the result."""
    unused = LOCAL_KEYS if run.is_gdnorm else (*LOCAL_KEYS, "MODEL.GDNORM.")
    return {key: value for key, value in flat(run.cfg) if not key.startswith(unused)}


def _cell(run: RunFolder, reference: RunFolder, target: str, metric: str) -> Cell:
    return Cell(metric_text(run.results[target], metric), _delta(run, reference, target, metric))


def _delta(run: RunFolder, reference: RunFolder, target: str, metric: str) -> float | None:
    if run is reference or any(metric not in one.results.get(target, {}) for one in (run, reference)):
        return None
    difference: float = run.results[target][metric] - reference.results[target][metric]
    return round(difference, 1) + 0.0  # no -0.0


def _and(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
