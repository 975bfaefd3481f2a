"""Trains the network from which runs on rendered people start. Writes projects/GDNorm/weights/.

    python projects/GDNorm/benchmarks/data/start.py --output logs/start

MobileNetV2 of half width is trained from scratch, with plain BN, on 64 synthetic domains of 40 identities each as one
data set. Nothing else uses the seeds of their styles and people. The network is tested on four more such domains, and
nothing is chosen by these tests. Only the backbone is kept, in half precision. An interrupted training resumes. It
takes about an hour on two cores.
"""

import argparse
import hashlib
import json
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import fastreid_gdnorm  # noqa: F401  before fastreid, which it patches

# isort: split

import torch
from benchmarks.shared.pages import machine
from fastreid.data.datasets import DATASET_REGISTRY

from fastreid_gdnorm.demo import CONFIGS
from fastreid_gdnorm.rendered import Plan, drawn_domain
from fastreid_gdnorm.runs import files
from fastreid_gdnorm.runs.results import read_test_results
from fastreid_gdnorm.runs.run import train
from fastreid_gdnorm.runs.run_config import shipped

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
PREFIX, SEEDS, TESTS = "RenderedStart", range(10_000, 10_064), range(10_064, 10_068)
TRAINED, TESTED = Plan(train_ids=40, test_ids=1, distractors=0, junk=0), Plan(train_ids=1, test_ids=60)
EPOCHS = 40
SETTINGS = {
    "MODEL.BACKBONE.NAME": "build_mobilenetv2_backbone",
    "MODEL.BACKBONE.DEPTH": "0.5x",
    "MODEL.BACKBONE.FEAT_DIM": 1280,
    "MODEL.LOSSES.NAME": "('CrossEntropyLoss',)",  # from scratch, a triplet loss collapses the features
    "SOLVER.OPT": "AdamW",
    "SOLVER.WEIGHT_DECAY": 0.01,
    "SOLVER.WEIGHT_DECAY_NORM": 0.01,
    "SOLVER.IMS_PER_BATCH": 64,
    "SOLVER.MAX_EPOCH": EPOCHS,
    "SOLVER.BASE_LR": 2e-3,
    "SOLVER.SCHED": "CosineAnnealingLR",
    "SOLVER.ETA_MIN_LR": 1e-5,
    "SOLVER.WARMUP_ITERS": 300,
    "SOLVER.CHECKPOINT_PERIOD": 2,
    "TEST.EVAL_PERIOD": EPOCHS,
    "DATASETS.NAMES": str(tuple(f"{PREFIX}{seed}" for seed in SEEDS)),
    "DATASETS.TESTS": str(tuple(f"{PREFIX}{seed}" for seed in TESTS)),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("logs/start"), help="default: %(default)s")
    args = parser.parse_args()
    logging.getLogger("fastreid").setLevel(logging.WARNING)
    for seeds, plan in (SEEDS, TRAINED), (TESTS, TESTED):
        for seed in seeds:
            DATASET_REGISTRY.register(drawn_domain(seed, plan, PREFIX))
    overrides = [str(word) for setting in SETTINGS.items() for word in setting]
    train(shipped(f"{CONFIGS}/baseline.yml"), [*overrides, "OUTPUT_DIR", str(args.output)], seed=0, resume=True)
    keep(args.output)


def keep(run):
    """Write the backbone of a finished run, named after its digest, and a JSON file that describes it."""
    model = torch.load(run / files.FINAL, map_location="cpu", weights_only=True)["model"]
    prefix = "backbone."
    backbone = {name[len(prefix) :]: values for name, values in model.items() if name.startswith(prefix)}
    part = WEIGHTS / "start.pth"
    torch.save({name: v.half() if v.is_floating_point() else v for name, v in backbone.items()}, part)
    sha256 = hashlib.sha256(part.read_bytes()).hexdigest()
    for old in WEIGHTS.glob("mobilenetv2_*.pth"):
        old.unlink()
    file = part.rename(WEIGHTS / f"mobilenetv2_0.5x_drawn-{sha256[:8]}.pth")
    lines = [json.loads(line) for line in (run / files.METRICS).read_text().splitlines()]
    losses = [f"{line['total_loss']:.2f}" for line in lines if "total_loss" in line]
    results = read_test_results(run)
    known = {
        "file": file.name,
        "sha256": sha256,
        "by": "python projects/GDNorm/benchmarks/data/start.py",
        "on": machine("cpu"),
        "settings": SETTINGS,
        "loss over training": losses[:: max(1, len(losses) // 20)],
        "tests": {
            name: {key: round(of_test[key], 1) for key in ("Rank-1", "mAP")} for name, of_test in results.items()
        },
    }
    (WEIGHTS / "start.json").write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    main()
