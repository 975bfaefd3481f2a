"""``fastreid demo``: what branches and sampled paths do, shown in a few minutes on drawn domains."""

import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

from fastreid.data.datasets import DATASET_REGISTRY
from tqdm import tqdm

from .engine.run import load_model
from .engine.setup import load_config, shipped
from .errors import UserError
from .mends.data import datasets_root
from .report import METRICS, ranked_results, results_table, save_results

ROWS = {"baseline": "baseline.yml", "branches only": "branches.yml", "GDNorm": "gdnorm.yml"}
CONFIGS = "projects/GDNorm/configs/demo"


def demo(output, seed=0, overrides=()):
    """Train and test the three rows one after the other and write the table and a figure into ``output``.

    Every row is a run of ``fastreid train`` in a process of its own; one that is done already is kept, one that was
    stopped goes on. ``overrides`` are KEY, VALUE, ... for all rows.
    """
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    cfg = load_config(f"{CONFIGS}/gdnorm.yml")
    target = cfg.DATASETS.TESTS[0]
    for name in (*cfg.DATASETS.NAMES, target):
        DATASET_REGISTRY.get(name)(root=datasets_root())  # draws it, if it is not there
    _say(f"Training on {', '.join(cfg.DATASETS.NAMES)}; testing on {target}, which no model has seen.")
    rows = {}
    for number, (name, config) in enumerate(ROWS.items(), 1):
        run = folder / Path(config).stem
        rows[name] = train_row(run, shipped(f"{CONFIGS}/{config}"), seed, f"[{number}/{len(ROWS)}] {name}", overrides)
    columns = (*METRICS, "seconds")
    save_results(rows, folder, columns)
    _draw_ranked_results(folder, target)
    _say(f"\n{results_table(rows, columns)}\n")
    _say(
        f"{target}, seed {seed}; one run each, so read differences of a few points with care: "
        "projects/GDNorm/results/demo.md has several seeds.\n"
        f"Table: {folder}/results.md, .csv, .json   Ranked results: {folder}/ranked_results.png   "
        f"Logs: {folder}/*/log.txt\n\n"
        "Next:\n"
        f"  fastreid eval --config-file {folder}/gdnorm/config.yaml --path ensemble\n"
        f"  fastreid train --config-file {CONFIGS}/gdnorm.yml OUTPUT_DIR logs/mine MODEL.GDNORM.NOISE std\n"
        "  fastreid train --help"
    )


def train_row(run, config, seed, title, overrides=()):
    """One run of ``fastreid train``: its results, and the seconds since it was last started; kept if it has ended.

    Raises:
        UserError: the folder holds a run of other settings, or the run failed: its own words are on stderr and in
            ``train.log``.
    """
    run.mkdir(parents=True, exist_ok=True)
    result_file, recipe_file = run / "result.json", run / "recipe.yaml"
    recipe = f"SEED: {seed}\n{load_config(str(config), [*map(str, overrides), 'OUTPUT_DIR', '']).dump()}"
    if recipe_file.is_file() and recipe_file.read_text() != recipe:
        raise UserError(f"{run} holds a run of other settings: remove it, or choose another folder")
    recipe_file.write_text(recipe)
    if result_file.is_file():
        _say(f"{title}: kept from an earlier run; remove {run} to train again")
        return json.loads(result_file.read_text())
    _say(f"{title}: training, log in {run}/log.txt")
    start = time.perf_counter()
    command = [sys.executable, "-m", "fastreid_gdnorm", "train", "--config-file", str(config), "--seed", str(seed)]
    env = {**os.environ, "PYTHONWARNINGS": "ignore"}  # stderr is for the progress bar and the user's mistakes
    with open(run / "train.log", "w") as log:
        done = subprocess.run([*command, "--resume", "OUTPUT_DIR", str(run), *map(str, overrides)], stdout=log, env=env)
    if done.returncode:
        raise UserError(f"{title} failed, see {run}/train.log")
    result = {**last_results(run / "metrics.json"), "seconds": time.perf_counter() - start}
    result_file.write_text(json.dumps(result))
    return result


def last_results(metrics_file):
    """The last test's results of a run with one target, from its metrics.json."""
    tests = [line for line in map(json.loads, metrics_file.read_text().splitlines()) if "mAP" in line]
    return {metric: tests[-1][metric] for metric in METRICS}


def _draw_ranked_results(folder, target):
    picture = folder / "ranked_results.png"
    cfg = load_config(str(folder / "gdnorm" / "config.yaml"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ranked_results(load_model(cfg), cfg, target, picture)


def _say(text):
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()
