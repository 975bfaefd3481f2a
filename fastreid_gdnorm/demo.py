"""What branches and sampled paths do, shown in a few minutes on drawn domains: the work of ``fastreid demo``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from .console import say
from .data import read
from .evaluation import METRICS
from .export import export_model
from .report.page import write_report
from .report.ranked_queries import ranked_results
from .report.tables import results_table, save_results
from .runs import files
from .runs.checkpoints import load_model
from .runs.config import load_config, shipped
from .runs.methods import METHODS
from .runs.rows import train_row

CONFIGS = "projects/GDNorm/configs/demo"
ROWS = dict(reversed(METHODS.items()))  # from the plain baseline on


def run_demo(output: str | Path, seed: int = 0, overrides: Sequence[object] = ()) -> None:
    """Train and test the rows one after the other and write the table and a figure into ``output``.

    Every row is a run of ``fastreid train`` in a process of its own; one that is done already is kept, one that was
    stopped goes on. ``overrides`` are KEY, VALUE, ... for all rows.
    """
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    cfg = load_config(f"{CONFIGS}/gdnorm.yml")
    target = cfg.DATASETS.TESTS[0]
    for name in (*cfg.DATASETS.NAMES, target):
        read(cfg, name)  # draws it, if it is not there
    say(f"Training on {', '.join(cfg.DATASETS.NAMES)}; testing on {target}, which no model has seen.")
    columns, rows = (*METRICS, "seconds"), {}
    for number, (method, name) in enumerate(ROWS.items(), 1):
        row = train_row(folder / method, shipped(f"{CONFIGS}/{method}.yml"), seed, overrides)
        result = row.run(f"[{number}/{len(ROWS)}] {name}")
        measured = {**result["results"][target], "seconds": result["seconds"]}
        rows[name] = {column: measured[column] for column in columns}
    save_results(rows, folder, columns)
    config = folder / "gdnorm" / files.CONFIG
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cfg = load_config(config)
        ranked_results(load_model(cfg), cfg, target, folder / "ranked_results.png")
        export_model(config, folder / "export")
        write_report([folder / method for method in ROWS], folder / "report")
    say(f"\n{results_table(rows, columns)}\n")
    say(
        f"{target}, seed {seed}; one run each, so read differences of a few points with care: "
        "projects/GDNorm/results/demo.md has several seeds.\n"
        f"All about the runs: {folder}/report/report.html   Table: {folder}/results.md, .csv, .json\n"
        f"Ranked results: {folder}/ranked_results.png   Stock fast-reid model: {folder}/export   "
        f"Logs: {folder}/*/{files.LOG}\n\n"
        "Next:\n"
        f"  fastreid eval --config-file {config} --path ensemble\n"
        f"  fastreid paths --config-file {config} --output {config.parent / files.PATHS} --samples 20\n"
        f"  fastreid train --config-file {CONFIGS}/gdnorm.yml OUTPUT_DIR logs/mine MODEL.GDNORM.NOISE std\n"
        "  fastreid train --help"
    )
