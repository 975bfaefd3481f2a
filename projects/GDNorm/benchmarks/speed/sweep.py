"""How fast is a sweep of 100 paths, compared with 100 separate evaluations?

    python projects/GDNorm/benchmarks/speed/sweep.py [--output FILE.json]

Tests the demo's network on one rendered target, in two comparisons. As commands: ``fastreid paths``, from its start to
its figures, against 100 runs of ``fastreid eval``. In one process, without start-up time: a sweep of 20 paths against
20 runs of fast-reid's own test. Sweeps run in full; an evaluation runs once in each round and its time is multiplied.
It takes about a minute on two cores.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import torch

import fastreid_gdnorm  # noqa: F401  patches fastreid before it is imported

# isort: split
from benchmarks.shared.measure import arguments, finish, interleave, row
from fastreid.engine import DefaultTrainer
from fastreid.utils.checkpoint import Checkpointer

from fastreid_gdnorm.data import read
from fastreid_gdnorm.demo import CONFIGS
from fastreid_gdnorm.evaluation.path_sweep import sweep
from fastreid_gdnorm.runs.run_config import load_config

COMMAND_PATHS, PROCESS_PATHS = 100, 20
FIXED = 5  # of these paths: three sources, their ensemble and the mean; the others are sampled
LAMBDA, TARGET = 0.6, "RenderedStation"


def fastreid(*words):
    subprocess.run([sys.executable, "-m", "fastreid_gdnorm", *map(str, words)], check=True, capture_output=True)


def contenders(folder, device):
    """{name: function without arguments}; writes an untrained model and all results to ``folder``."""
    overrides = ["OUTPUT_DIR", str(folder), "MODEL.HEADS.NUM_CLASSES", 180, "MODEL.DEVICE", device]
    overrides += ["DATASETS.TESTS", f"('{TARGET}',)"]
    cfg = load_config(f"{CONFIGS}/gdnorm.yml", overrides)
    read(cfg, TARGET)  # renders it
    model = DefaultTrainer.build_model(cfg)
    Checkpointer(model, str(folder)).save("model_final")
    config = folder / "config.yaml"
    config.write_text(cfg.dump())

    def new_folder():
        return Path(tempfile.mkdtemp(dir=folder))

    def paths():
        samples = ["--samples", COMMAND_PATHS - FIXED, "--lambdas", LAMBDA]
        fastreid("paths", "--config-file", config, "--output", new_folder(), *samples)

    return {
        "paths": paths,
        "eval": lambda: fastreid("eval", "--config-file", config, "--output", new_folder(), "--path", "sample:0"),
        "sweep": lambda: sweep(model, cfg, new_folder() / "paths.jsonl", PROCESS_PATHS - FIXED, [LAMBDA]),
        "test": lambda: DefaultTrainer.test(cfg, model),
    }


def main():
    args = arguments(__doc__, repeats=1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FASTREID_DATASETS"] = f"{folder}/datasets"
        seconds = interleave(contenders(Path(folder), args.device), args.repeats, args.device, warm_up=False)
    rows = [
        row(what, f"{count} x {against}", goal, seconds, candidate, reference, count)
        for what, against, goal, candidate, reference, count in (
            (f"fastreid paths, {COMMAND_PATHS} paths", "fastreid eval", "<= 0.50", "paths", "eval", COMMAND_PATHS),
            (f"in one process, {PROCESS_PATHS} paths", "DefaultTrainer.test", "", "sweep", "test", PROCESS_PATHS),
        )
    ]
    finish("Path sweep, the demo's network, one rendered target", rows, args)


if __name__ == "__main__":
    main()
