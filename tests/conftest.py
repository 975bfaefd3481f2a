"""What the tests share: small drawings of the rendered domains, small public data sets, a run of a few seconds."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

import fastreid_gdnorm  # noqa: F401  patches fastreid before any test imports it
from fastreid_gdnorm.rendered import RENDERED_DOMAINS, Plan, draw_domain
from fastreid_gdnorm.runs.config import load_config

from .data import trees

REPOSITORY = Path(__file__).resolve().parent.parent
DEMO = "projects/GDNorm/configs/demo"

# the demo's configs at toy size: 3 sources with 6 identities x 4 images, so 6 iterations an epoch
TINY = (
    "INPUT.SIZE_TRAIN [32,16] INPUT.SIZE_TEST [32,16] SOLVER.IMS_PER_BATCH 12 DATALOADER.NUM_INSTANCE 2 "
    "SOLVER.MAX_EPOCH 2 SOLVER.CHECKPOINT_PERIOD 1 TEST.EVAL_PERIOD 1 SOLVER.WARMUP_ITERS 4 TEST.PRECISE_BN.NUM_ITER 2"
).split()


@pytest.fixture(scope="session")
def datasets(tmp_path_factory):
    """FASTREID_DATASETS for the whole session: a small drawing of every rendered domain."""
    root = tmp_path_factory.mktemp("datasets")
    plan = Plan(train_ids=6, test_ids=6, images_per_id=4, distractors=3, junk=1)
    for domain in RENDERED_DOMAINS:
        draw_domain(domain.style, root / domain.__name__, plan)
    os.environ["FASTREID_DATASETS"] = str(root)
    yield root
    del os.environ["FASTREID_DATASETS"]


@pytest.fixture(scope="session")
def public_datasets(datasets):
    """Small public data sets in their true layouts, of rendered people, beside the rendered domains."""
    pictures = itertools.cycle(sorted(datasets.glob("Rendered*/bounding_box_train/*.jpg")))

    def put(path):
        assert cv2.imwrite(str(path), cv2.imread(str(next(pictures))))

    for build in (
        trees.market1501,
        trees.dukemtmc,
        trees.cuhk02,
        trees.cuhk03_extracted,
        trees.cuhk_sysu,
        trees.msmt17,
    ):
        build(datasets, put)
    trees.viper(datasets, put, ids=24)
    trees.prid(datasets, put, shared=12, only_a=3, only_b=6)
    trees.grid(datasets, put, ids=20, distractors=5)
    trees.ilids(datasets, put, ids=21, images=60)
    return datasets


@pytest.fixture
def tiny(datasets, tmp_path):
    """A function (config name, *overrides) -> the demo's config of that name at toy size, writing to tmp_path."""

    (tmp_path / "run").mkdir()

    def config(name="gdnorm", *overrides):
        return load_config(f"{DEMO}/{name}.yml", [*TINY, "OUTPUT_DIR", str(tmp_path / "run"), *overrides])

    return config


@pytest.fixture(scope="session")
def toy_run(datasets, tmp_path_factory):
    """The folder of a finished toy run of GDNorm."""
    folder = tmp_path_factory.mktemp("toy_run")
    words = ["--config-file", f"{DEMO}/gdnorm.yml", "--seed", 3, *TINY, "OUTPUT_DIR", folder]
    done = fastreid("train", *words)
    assert done.returncode == 0, done.stderr
    return folder


def command(*arguments, env=None, cwd=REPOSITORY):
    """The words to start ``fastreid`` with in a process of its own, ready for subprocess."""
    return {
        "args": [sys.executable, "-m", "fastreid_gdnorm", *map(str, arguments)],
        "cwd": cwd,
        "env": {**os.environ, "PYTHONPATH": str(REPOSITORY), **(env or {})},
        "text": True,
    }


def fastreid(*arguments, **options):
    """Run ``fastreid`` to its end; its returncode, stdout and stderr."""
    return subprocess.run(**command(*arguments, **options), capture_output=True, timeout=300)
