"""Upstream's own scripts as a table: how to run each on small data, and how to give it GDNorm or why not."""

from __future__ import annotations

from typing import NamedTuple

SMALL = (
    "MODEL.DEVICE cpu MODEL.BACKBONE.PRETRAIN False MODEL.BACKBONE.DEPTH 18x MODEL.BACKBONE.FEAT_DIM 512 "
    "MODEL.BACKBONE.NORM BN MODEL.BACKBONE.WITH_NL False MODEL.HEADS.NORM BN "
    "INPUT.SIZE_TRAIN [64,32] INPUT.SIZE_TEST [64,32] DATALOADER.NUM_WORKERS 0 DATALOADER.NUM_INSTANCE 2 "
    "SOLVER.AMP.ENABLED False SOLVER.IMS_PER_BATCH 8 SOLVER.MAX_EPOCH 2 SOLVER.CHECKPOINT_PERIOD 1 "
    "SOLVER.WARMUP_ITERS 2 SOLVER.DELAY_EPOCHS 0 SOLVER.FREEZE_ITERS 2 TEST.EVAL_PERIOD 2 TEST.IMS_PER_BATCH 32"
)
BRANCHES = (
    "MODEL.META_ARCHITECTURE GDNormBaseline MODEL.BACKBONE.NAME build_gdnorm_backbone "
    "DATALOADER.SAMPLER_TRAIN DomainBalancedIdentitySampler"
)
PEOPLE = f"{BRANCHES} DATASETS.NAMES ('Market1501','DukeMTMC')"
NO_DOMAINS = "its data set class does not say which data set an image is from"
README_ALONE = "only a README"


class Case(NamedTuple):
    """One of upstream's scripts.

    Args:
        name: Name of the row.
        script: Path of the script in a checkout.
        runs: Arguments of its runs, one after the other. {out} is their folder; {gdnorm} stands for the overrides
            ``gdnorm`` in a run with GDNorm, and for nothing otherwise.
        gdnorm: Overrides that give a run branches, or nothing.
        reason: Why it cannot have branches.
        mixin: module:class of the meta-architecture that GDNorm is mixed into.
        note: Note for the table.
    """

    name: str
    script: str
    runs: tuple[str, ...] = ()
    gdnorm: str = ""
    reason: str = ""
    mixin: str = ""
    note: str = ""


def trained(config: str, more: str = "", folder: str = "run", gdnorm: str = "{gdnorm}") -> str:
    """Arguments of a training."""
    return f"--config-file {config} {SMALL} OUTPUT_DIR {{out}}/{folder} {more} {gdnorm}"


def resumed(config: str, more: str = "") -> str:
    """Arguments that resume the training for one more epoch."""
    return f"--resume {trained(config, more)} SOLVER.MAX_EPOCH 3"


def eval_only(config: str, more: str = "") -> str:
    """Arguments that test the trained model."""
    return f"--eval-only {trained(config, more, 'test')} MODEL.WEIGHTS {{out}}/run/model_final.pth"


BAGTRICKS, ATTR = "configs/Market1501/bagtricks_R50.yml", "projects/FastAttr/configs/market1501.yml"
CLAS, FACE = "projects/FastClas/configs/base-clas.yaml", "projects/FastFace/configs/r50_ir.yml"
TEACHER, STUDENT = (f"projects/FastDistill/configs/{name}.yml" for name in ("sbs_r34", "kd-sbs_r101ibn-sbs_r34"))
CARS, INSHOP = (f"projects/FastRetri/configs/{name}.yml" for name in ("cars", "inshop"))
NAIC, PARTIAL = "projects/NAIC20/configs/r34-ibn.yml", "projects/PartialReID/configs/partial_market.yml"
TUNE = "projects/FastTune/configs/search_trial.yml"

UNWEIGHTED = "MODEL.LOSSES.BCE.WEIGHT_ENABLED False"
CROPS = "INPUT.SIZE_TRAIN [72,72] INPUT.SIZE_TEST [64,64] INPUT.CROP.SIZE [64,]"
FACES = (
    "INPUT.SIZE_TRAIN [112,112] INPUT.SIZE_TEST [112,112] MODEL.BACKBONE.FEAT_DIM 25088 MODEL.HEADS.NUM_CLASSES 0 "
    "MODEL.HEADS.PFC.ENABLED False SOLVER.MAX_EPOCH 1 TEST.EVAL_PERIOD 1 DATASETS.REC_PATH '' DATASETS.TESTS ('LFW',)"
)
PARTS = "INPUT.SIZE_TRAIN [128,128] INPUT.SIZE_TEST [128,128] TEST.DSR.ENABLED False"
SOURCES = "DATASETS.NAMES ('Market1501','DukeMTMC')"
TAUGHT = (
    f"{SOURCES} KD.MODEL_CONFIG ('{{out}}/teacher/config.yaml',) KD.MODEL_WEIGHTS ('{{out}}/teacher/model_final.pth',)"
)
TEACHING = trained(TEACHER, SOURCES, "teacher", gdnorm="")

PROJECTS = (
    Case(
        "tools/train_net.py",
        "tools/train_net.py",
        (trained(BAGTRICKS), resumed(BAGTRICKS), eval_only(BAGTRICKS)),
        PEOPLE,
    ),
    Case(
        "tools/plain_train_net.py",
        "tools/plain_train_net.py",
        (trained(BAGTRICKS),),
        reason="not run",
        note="stale: build_optimizer now returns a pair",
    ),
    Case(
        "FastAttr",
        "projects/FastAttr/train_net.py",
        (trained(ATTR, UNWEIGHTED), eval_only(ATTR)),
        reason=NO_DOMAINS,
        note="without the weights of its loss, which need CUDA",
    ),
    Case(
        "FastClas",
        "projects/FastClas/train_net.py",
        (
            trained(CLAS, "INPUT.SIZE_TRAIN [0,] INPUT.SIZE_TEST [64,] INPUT.CROP.SIZE [64,]"),
            eval_only(CLAS, "INPUT.SIZE_TEST [64,]"),
        ),
        reason=NO_DOMAINS,
        note="its `distracted_driver.py` was never committed",
    ),
    Case(
        "FastDistill",
        "projects/FastDistill/train_net.py",
        (TEACHING, trained(STUDENT, TAUGHT)),
        f"{PEOPLE} MODEL.META_ARCHITECTURE GDNormDistiller MODEL.GDNORM.BACKBONE build_resnet_backbone_distill",
    ),
    Case(
        "FastDistill, overhaul",
        "projects/FastDistill/train_net.py",
        (TEACHING, trained(STUDENT, f"{TAUGHT} MODEL.META_ARCHITECTURE DistillerOverhaul")),
        reason="its constructor takes a config, the mixin's takes modules",
    ),
    Case(
        "FastFace",
        "projects/FastFace/train_net.py",
        (trained(FACE, FACES), eval_only(FACE, FACES)),
        f"{BRANCHES} MODEL.GDNORM.BACKBONE build_iresnet_backbone DATASETS.NAMES ('MS1MV2','Market1501')",
        note="from a folder of images, without partial FC, which needs CUDA",
    ),
    Case(
        "FastRetri, Cars",
        "projects/FastRetri/train_net.py",
        (trained(CARS, CROPS), resumed(CARS, CROPS)),
        f"{BRANCHES} DATASETS.NAMES ('Cars196','CUB')",
        note="its GPU ranking runs on faiss for CPUs",
    ),
    Case(
        "FastRetri, InShop",
        "projects/FastRetri/train_net.py",
        (trained(INSHOP, CROPS),),
        f"{BRANCHES} DATASETS.NAMES ('InShop','CUB')",
        note="its GPU ranking runs on faiss for CPUs",
    ),
    Case(
        "FastRetri, two processes",
        "projects/FastRetri/train_net.py",
        (f"--num-gpus 2 {trained(CARS, CROPS)}",),
        f"{BRANCHES} DATASETS.NAMES ('Cars196','CUB') SOLVER.IMS_PER_BATCH 16",
        note="stock's processes need CUDA",
    ),
    Case(
        "FastTune",
        "projects/FastTune/tune_net.py",
        (trained(TUNE, gdnorm=""),),
        reason="not run",
        note="needs ray before 2, and passes LayerFreeze one argument too many",
    ),
    Case("NAIC20", "projects/NAIC20/train_net.py", (trained(NAIC),), f"{BRANCHES} SOLVER.IMS_PER_BATCH 12"),
    Case(
        "NAIC20, commit",
        "projects/NAIC20/train_net.py",
        (trained(NAIC), f"--commit {eval_only(NAIC)}"),
        reason="not run",
        note="stale: its evaluator fills `self.pids`, which ReidEvaluator no longer has",
    ),
    Case(
        "PartialReID",
        "projects/PartialReID/train_net.py",
        (trained(PARTIAL, PARTS),),
        f"{PEOPLE} MODEL.META_ARCHITECTURE GDNormPartialBaseline",
        mixin="partialreid:PartialBaseline",
        note="without DSR's distances, which need CUDA",
    ),
    Case(
        "FastRT, gen_wts.py",
        "projects/FastRT/tools/gen_wts.py",
        (
            "--config-file configs/Market1501/bagtricks_R50.yml --wts_path {out}/model.wts --verify "
            "MODEL.DEVICE cpu MODEL.BACKBONE.NAME build_mobilenetv2_backbone MODEL.BACKBONE.DEPTH 0.5x "
            "MODEL.BACKBONE.FEAT_DIM 1280",
        ),
        reason="TensorRT takes plain BN: give it an export",
        note="the rest is C++ for TensorRT",
    ),
)
