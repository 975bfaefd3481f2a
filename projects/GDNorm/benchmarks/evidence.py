"""Does it work? GDNorm and its rivals on domains drawn from one distribution: writes results/evidence.md and .png.

    python projects/GDNorm/benchmarks/evidence.py --output logs/evidence

The paper's theory is of domains that are draws from a hyper-distribution. Here RenderedDraw<seed> are such draws: a row
is trained on K of them, twice, on other sources each time, and tested on twelve that no row has seen. Targets are the
unit of the intervals. What the rows are, how long they are trained and what is asked was written down before the first
one ran (see the page). Rows that are done are kept, so that a stopped script goes on. It takes about three hours on two
cores.
"""

import argparse
import json
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import variants  # noqa: F401  which registers what the rows name
from evidence_page import write_page
from posterior import Target, Tests
from tqdm import tqdm

from fastreid_gdnorm.demo import CONFIGS
from fastreid_gdnorm.modeling.path_names import parse_test_path
from fastreid_gdnorm.runs import files
from fastreid_gdnorm.runs.config import shipped
from fastreid_gdnorm.runs.run import train

TARGETS = tuple(f"RenderedDraw{seed}" for seed in range(200, 212))
SEEDS = (0, 1)
MEANS = ("mean:affine", "mean:statistics", "mean:path")
SITE_IMAGES = 16
SAMPLES = 3
EPOCHS = 40


@dataclass(frozen=True)
class Row:
    """A way to train.

    Args:
        config: of the demo's.
        overrides: KEY, VALUE, ... beside the schedule's and the data's.
        longer: how many times as many epochs as the others.
        sizes: the K with which it is run.
        all_paths: whether its models are tested along every path, or along the mean path and the posterior alone.
    """

    config: str
    overrides: tuple = ()
    longer: float = 1
    sizes: tuple = (3,)
    all_paths: bool = False


GDNORM = "MODEL.GDNORM."
BOTH = (3, 8)
IBN, MIXSTYLE, GHOST = (f"build_mobilenetv2_{name}_backbone" for name in ("ibn", "mixstyle", "ghost"))
ROWS = {
    # one epoch that moves no weight, but BN's statistics
    "the start itself": Row("balanced", ("SOLVER.BASE_LR", 0.0), longer=1 / EPOCHS, sizes=BOTH),
    "baseline": Row("baseline", sizes=BOTH),
    "baseline, twice the steps": Row("baseline", longer=2, sizes=BOTH),
    "baseline, twice the batch": Row("baseline", ("SOLVER.IMS_PER_BATCH", 96)),
    "baseline, balanced batches": Row("balanced", sizes=BOTH),
    "IBN": Row("baseline", ("MODEL.BACKBONE.NAME", IBN)),
    "MixStyle": Row("baseline", ("MODEL.BACKBONE.NAME", MIXSTYLE)),
    "branches only (E)": Row("branches", sizes=BOTH, all_paths=True),
    "GDNorm, variance (E+S)": Row("gdnorm", sizes=BOTH, all_paths=True),
    "GDNorm, std": Row("gdnorm", (GDNORM + "NOISE", "std"), sizes=BOTH, all_paths=True),
    "GDNorm from half of the training on": Row("gdnorm", ("SOLVER.HOOKS", "('DomainPreciseBN','SampleFromHalf')")),
    "GDNorm, the batch's sigma": Row("gdnorm", ("MODEL.META_ARCHITECTURE", "GDNormBatchSigma")),
    "GDNorm + IBN": Row("gdnorm", (GDNORM + "BACKBONE", IBN)),
    # what the paper leaves open
    "full batches, as many steps": Row("gdnorm", ("DATALOADER.DOMAIN_BATCH", "full")),
    "full batches, as many images": Row("gdnorm", ("DATALOADER.DOMAIN_BATCH", "full"), longer=1 / 3),
    "baseline, statistics of a third of a batch": Row("baseline", ("MODEL.BACKBONE.NAME", GHOST)),
    "GDNorm, 2 identities of a domain": Row("gdnorm", ("DATALOADER.NUM_INSTANCE", 8)),
    "GDNorm, 8 identities of a domain": Row("gdnorm", ("DATALOADER.NUM_INSTANCE", 2)),
    "GDNorm, heads not branched": Row("gdnorm", (GDNORM + "HEADS", False)),
    "GDNorm, lambda 0": Row("gdnorm", (GDNORM + "LAMBDA", 0.0)),
    "GDNorm, std, lambda 0.1": Row("gdnorm", (GDNORM + "NOISE", "std", GDNORM + "LAMBDA", 0.1)),
    "GDNorm, std, lambda 2": Row("gdnorm", (GDNORM + "NOISE", "std", GDNORM + "LAMBDA", 2.0)),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("logs/evidence"), help="default: %(default)s")
    parser.add_argument(
        "--rows", nargs="*", default=[], metavar="NAME", help="only those whose names have one of these"
    )
    args = parser.parse_args()
    logging.getLogger("fastreid").setLevel(logging.WARNING)
    plan = [
        (name, row, size, seed)
        for seed in SEEDS
        for size in BOTH
        for name, row in ROWS.items()
        if size in row.sizes and (not args.rows or any(word in name for word in args.rows))
    ]
    records = []
    for name, row, size, seed in tqdm(plan, "rows", disable=None):
        run = args.output / f"{name.replace(' ', '_').replace(',', '')}-{size}-{seed}"
        train_row(run, row, size, seed)
        with open(run / "evidence.jsonl", "a+") as file:
            Evidence(run, file).test(row.all_paths)
        lines = (run / "evidence.jsonl").read_text().splitlines()
        records += [{"row": name, "sources": size, "seed": seed, **json.loads(line)} for line in lines]
    write_page(records)


def start(config):
    """Overrides for the trained network that all rows start from."""
    file = json.loads(shipped("projects/GDNorm/weights/start.json").read_text())["file"]
    key = "MODEL.BACKBONE.NAME" if config in ("baseline", "balanced") else "MODEL.GDNORM.BACKBONE"
    return {
        key: "build_mobilenetv2_backbone",
        "MODEL.BACKBONE.DEPTH": "0.5x",
        "MODEL.BACKBONE.FEAT_DIM": 1280,
        "MODEL.BACKBONE.PRETRAIN": True,
        "MODEL.BACKBONE.PRETRAIN_PATH": f"projects/GDNorm/weights/{file}",
    }


def train_row(run, row, size, seed):
    """Train it, unless that is done; a training that was stopped goes on."""
    if (run / files.FINAL).is_file():
        return
    sources = tuple(f"RenderedDraw{100 * size + 20 * seed + k}" for k in range(size))
    epochs = max(1, round(EPOCHS * row.longer))
    overrides = {
        **start(row.config),
        "SOLVER.MAX_EPOCH": epochs,
        "SOLVER.STEPS": f"[{round(0.6 * epochs)},{round(0.85 * epochs)}]",
        "SOLVER.CHECKPOINT_PERIOD": epochs,
        "TEST.EVAL_PERIOD": epochs,
        "SOLVER.IMS_PER_BATCH": 16 * size,  # 4 images of 4 identities of each domain
        "DATASETS.NAMES": str(sources),
        "DATASETS.TESTS": f"('{TARGETS[0]}',)",
        "OUTPUT_DIR": str(run),
        **dict(zip(row.overrides[::2], row.overrides[1::2])),
    }
    words = [word for pair in overrides.items() for word in pair]
    train(shipped(f"{CONFIGS}/{row.config}.yml"), words, seed=seed, resume=True)


class Evidence(Tests):
    """The tests of one model on all targets, whose images stay in memory for all models."""

    targets: ClassVar[dict[str, Target]] = {}

    def test(self, all_paths):
        """The mean path and the posterior of a few images; with ``all_paths`` all others as well."""
        for name in TARGETS:
            target = self.targets[name] = self.targets.get(name) or Target(self._cfg, name)
            if self._stock is not None:
                self._record(target, "as trained", partial(target, self._stock))
            images = target.images("random", SITE_IMAGES)
            self._record(target, "posterior", partial(self._by, self._posterior, target, images), SITE_IMAGES)
            for path in self._paths() if all_paths else MEANS[:1]:
                self._record(target, path, partial(self._fixed_along, target, path))

    def _fixed_along(self, target, path):
        return self._along(target, *self._fixed(path))

    def _paths(self):
        sources = [f"source:{k}" for k in range(len(self._cfg.DATASETS.NAMES))]
        return [*MEANS, "instance", "weighted", "ensemble", *sources, *(f"sample:{seed}" for seed in range(SAMPLES))]

    def _fixed(self, path):
        return parse_test_path(path, self._cfg) if path.startswith(("source", "sample")) else super()._fixed(path)


if __name__ == "__main__":
    main()
