"""Trains and tests the rows of recipe.py and photographs_evidence.py and keeps their test records in a CSV file.

Rows whose records are in the CSV are skipped. An interrupted row resumes if its folder still exists.
"""

import csv
import json
import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import benchmarks.data.photograph_domains  # noqa: F401  registers its data sets
import benchmarks.does_it_work.recipe_variants  # noqa: F401  registers what rows name
import benchmarks.does_it_work.variants  # noqa: F401  as well
import numpy as np
from benchmarks.does_it_work.evidence_page import read_records
from benchmarks.does_it_work.people_tests import REPLICATES, PeopleTests
from benchmarks.shared.pages import RESULTS
from benchmarks.shared.rows import drawn_weights, imagenet_weights, results_of_all, schedule, words
from fastreid.engine import DefaultTrainer
from fastreid.utils.events import EventStorage

from fastreid_gdnorm.data import read_sources
from fastreid_gdnorm.demo import CONFIGS
from fastreid_gdnorm.disk import replacing
from fastreid_gdnorm.runs import files
from fastreid_gdnorm.runs.run import train
from fastreid_gdnorm.runs.run_config import load_config, shipped
from fastreid_gdnorm.runs.training_log import read_metrics

COLUMNS = {
    **dict.fromkeys(("row", "group", "target", "path"), str),
    **dict.fromkeys(("seed", "n", "draw"), int),
    **dict.fromkeys(("mAP", "Rank-1", "trained"), float),
    "resampled": lambda words: [float(word) for word in words.split()],
}


@dataclass(frozen=True)
class Row:
    """A way to train.

    Args:
        config: Name of one of the demo's configs.
        overrides: {KEY: value} beyond the schedule and the data.
        steps: Factor on the number of steps of its group.
    """

    config: str
    overrides: dict
    steps: float = 1


class Group(NamedTuple):
    """What compared rows have in common.

    Args:
        sources: Names of the data sets to train on.
        targets: Names of the data sets to test on.
        steps: Training steps, rounded to whole epochs.
        size: Size of the images (height, width).
        depth: Depth of MobileNetV2: "0.5x" from the shipped start, or "1.0x" from ImageNet.
        device: cpu or cuda.
    """

    sources: tuple
    targets: tuple
    steps: int
    size: tuple = (64, 32)
    depth: str = "0.5x"
    device: str = "cpu"


class Task(NamedTuple):
    """A row to train and test.

    Args:
        output: Folder of all runs.
        paths: Paths to test a branched network along.
        sizes: Numbers of images of each of the site's cameras to adapt to.
    """

    output: Path
    name: str
    row: Row
    group_name: str
    group: Group
    seed: int
    paths: tuple
    sizes: tuple

    @property
    def run(self):
        """Folder of this row's run."""
        words = "-".join((self.name, self.group_name, str(self.seed)))
        return self.output / words.replace(" ", "_").replace(",", "").replace("(", "").replace(")", "")


def run_all(tasks, csv_name, jobs):
    """Run the tasks that are not in the CSV, ``jobs`` at a time with one thread each, and add their tests to it."""
    records = read_records(csv_name, COLUMNS)
    done = {(record["row"], record["group"], record["seed"]) for record in records}
    tasks = [task for task in tasks if (task.name, task.group_name, task.seed) not in done]
    for of_row in results_of_all(run_task, [(task,) for task in tasks], jobs, "rows"):
        records += of_row
        write_records(records, csv_name)
    return records


def run_task(task):
    """Train and test a row, skipping finished parts; return its records."""
    logging.getLogger("fastreid").setLevel(logging.WARNING)
    train_row(task)
    with open(task.run / "tests.jsonl", "a+") as file:
        PeopleTests(task.run, file, task.group.device).of_targets(task.group.targets, task.sizes, task.paths)
        file.seek(0)
        about = {"row": task.name, "group": task.group_name, "seed": task.seed, "trained": trained(task.run)}
        return [{**about, **json.loads(line)} for line in file]


def train_row(task):
    if (task.run / files.FINAL).is_file():
        return
    task.run.mkdir(parents=True, exist_ok=True)
    file, overrides = config_of(task)
    cfg = load_config(file, words(overrides))
    images = sum(map(len, read_sources(cfg)))
    epochs = max(1, round(task.row.steps * task.group.steps / (images // cfg.SOLVER.IMS_PER_BATCH)))
    overrides.update({**schedule(epochs), "SOLVER.CHECKPOINT_PERIOD": 1})
    train(file, words(overrides), seed=task.seed, resume=True)


def config_of(task):
    """A row's config file and its overrides except the schedule."""
    weights = drawn_weights() if task.group.depth == "0.5x" else imagenet_weights(task.run)
    overrides = {
        "MODEL.DEVICE": task.group.device,
        "MODEL.BACKBONE.DEPTH": task.group.depth,
        "MODEL.BACKBONE.PRETRAIN_PATH": weights,
        "INPUT.SIZE_TRAIN": list(task.group.size),
        "INPUT.SIZE_TEST": list(task.group.size),
        "DATASETS.NAMES": str(task.group.sources),
        "DATASETS.TESTS": f"('{task.group.targets[0]}',)",
        "OUTPUT_DIR": task.run,
        **task.row.overrides,
    }
    if task.group.device == "cuda":
        overrides.update({"SOLVER.AMP.ENABLED": True, "DATALOADER.NUM_WORKERS": 4})
    return shipped(f"{CONFIGS}/{task.row.config}.yml"), overrides


def seconds_per_step(task, steps=30):
    """Seconds per training step of this row, measured on a few steps of a training that is discarded."""
    with tempfile.TemporaryDirectory() as folder:
        task = task._replace(output=Path(folder))
        task.run.mkdir(parents=True)
        file, overrides = config_of(task)
        trainer = DefaultTrainer(load_config(file, words(overrides)))
        with EventStorage():
            for step in range(2 * steps):
                if step == steps:  # the first ones are slower
                    start = time.perf_counter()
                trainer._trainer.run_step()
            float(next(trainer.model.parameters()).sum())  # wait until all steps have ended
        return (time.perf_counter() - start) / steps


def trained(run):
    """Percentage of training images classified correctly in the last tenth of the steps."""
    right = [line["cls_accuracy"] for line in read_metrics(run / files.METRICS) if "cls_accuracy" in line]
    return 100 * float(np.mean(right[-max(1, len(right) // 10) :]))


def write_records(records, csv_name):
    with replacing(RESULTS / f"{csv_name}.csv") as part, open(part, "w", newline="") as file:
        lines = csv.DictWriter(file, COLUMNS)
        lines.writeheader()
        for record in records:
            rounded = {name: f"{record[name]:.3f}" for name in ("mAP", "Rank-1", "trained")}
            lines.writerow(
                {
                    **record,
                    **rounded,
                    "resampled": " ".join(f"{value:.2f}" for value in record["resampled"][:REPLICATES]),
                }
            )
