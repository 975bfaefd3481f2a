"""The rows of evidence.py: how each is trained, which are compared, and in which order they run."""

from dataclasses import dataclass

import benchmarks.does_it_work.variants  # noqa: F401  registers what the rows name
from benchmarks.shared.rows import drawn_weights, imagenet_weights, schedule, words

from fastreid_gdnorm.demo import CONFIGS
from fastreid_gdnorm.runs import files
from fastreid_gdnorm.runs.run import train
from fastreid_gdnorm.runs.run_config import shipped

TARGETS = tuple(f"RenderedDraw{seed}" for seed in range(200, 212))
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
