"""What the tests share: small versions of the rendered domains, small public data sets, a run of a few seconds."""

import contextlib
import functools
import itertools
import logging
import os
import random
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from fastreid.utils import logger as toolbox_logger

import fastreid_gdnorm  # noqa: F401  patches fastreid before any test imports it
from fastreid_gdnorm import cli
from fastreid_gdnorm.consumers import CONSUMERS
from fastreid_gdnorm.rendered import RENDERED_DOMAINS, Plan, render_domain
from fastreid_gdnorm.runs.run_config import load_config

from .data import trees

REPOSITORY = Path(__file__).resolve().parent.parent
DEMO = "projects/GDNorm/configs/demo"

# the seed of all toy trainings; tests must pass with any seed, on any machine
TOY_SEED = int(os.environ.get("TOY_SEED", "3"))

# the demo's configs at toy size: 3 sources with 6 identities x 4 images, so 6 iterations an epoch
TINY = (
    "INPUT.SIZE_TRAIN [32,16] INPUT.SIZE_TEST [32,16] SOLVER.IMS_PER_BATCH 12 DATALOADER.NUM_INSTANCE 2 "
    "SOLVER.MAX_EPOCH 2 SOLVER.CHECKPOINT_PERIOD 1 TEST.EVAL_PERIOD 1 SOLVER.WARMUP_ITERS 4 TEST.PRECISE_BN.NUM_ITER 2"
).split()
ONE_TARGET = ["DATASETS.TESTS", "('RenderedStation',)"]


@pytest.fixture(scope="session")
def datasets(tmp_path_factory):
    """FASTREID_DATASETS for the whole session: a small version of every rendered domain."""
    root = tmp_path_factory.mktemp("datasets")
    plan = Plan(train_ids=6, test_ids=6, images_per_id=4, distractors=3, junk=1)
    for domain in RENDERED_DOMAINS:
        render_domain(domain.style, root / domain.__name__, plan)
    os.environ["FASTREID_DATASETS"] = str(root)
    yield root
    del os.environ["FASTREID_DATASETS"]


@pytest.fixture(scope="session")
def public_root(datasets, tmp_path_factory):
    """A folder of small public data sets in their true layouts, of rendered people, and the rendered domains."""
    root = tmp_path_factory.mktemp("public_datasets")
    for folder in datasets.iterdir():
        (root / folder.name).symlink_to(folder)
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
        build(root, put)
    trees.viper(root, put, ids=24)
    trees.prid(root, put, shared=12, only_a=3, only_b=6)
    trees.grid(root, put, ids=20, distractors=5)
    trees.ilids(root, put, ids=21, images=60)
    return root


@pytest.fixture
def public_datasets(public_root, monkeypatch):
    """FASTREID_DATASETS for a test: the small public data sets and the rendered domains."""
    monkeypatch.setenv("FASTREID_DATASETS", str(public_root))
    return public_root


@pytest.fixture
def station(datasets, tmp_path, monkeypatch):
    """The folder of a test's own copy of RenderedStation, beside the other rendered domains in FASTREID_DATASETS."""
    root = tmp_path / "data"
    root.mkdir()
    for folder in datasets.iterdir():
        if folder.name == "RenderedStation":
            shutil.copytree(folder, root / folder.name)
        else:
            (root / folder.name).symlink_to(folder)
    monkeypatch.setenv("FASTREID_DATASETS", str(root))
    return root / "RenderedStation"


@pytest.fixture
def tiny(datasets, tmp_path):
    """A function (config name, *overrides) -> the demo's config of that name at toy size, writing to tmp_path."""

    (tmp_path / "run").mkdir()

    def config(name="gdnorm", *overrides):
        return load_config(f"{DEMO}/{name}.yml", [*TINY, *ONE_TARGET, "OUTPUT_DIR", str(tmp_path / "run"), *overrides])

    return config


@pytest.fixture(scope="session")
def toy_run(datasets, tmp_path_factory):
    """The folder of a finished toy run of GDNorm."""
    folder = tmp_path_factory.mktemp("toy_run")
    done = fastreid(*training(folder))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def exporting(toy_run, tmp_path_factory):
    """The folder with everything that ``fastreid export`` writes for the toy run, and what it printed."""
    folder = tmp_path_factory.mktemp("exported")
    words = ["--onnx", "--fuse", *(word for name in CONSUMERS for word in ("--for", name))]
    done = fastreid("export", "--config-file", toy_run / "config.yaml", "--output", folder, *words)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture(scope="session")
def exported(exporting):
    """The folder of :func:`exporting`."""
    return exporting[0]


@pytest.fixture
def fastreid_here(capsys):
    """A function like :func:`fastreid` that runs in this process, which saves the seconds that a new process needs."""

    def call(*arguments):
        capsys.readouterr()
        with undisturbed():
            try:
                status = cli.main(list(map(str, arguments)))
            except SystemExit as stopped:  # argparse
                status = stopped.code
        return subprocess.CompletedProcess(arguments, status, *capsys.readouterr())

    return call


@contextlib.contextmanager
def small_files(size):
    """Inside the block, this process cannot make a file longer than ``size`` bytes, as if the disk were full.

    The limit must end with the block, because the tests' own output may go to a file that is already longer.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def amp_step(trainer, monkeypatch):
    """A step of fast-reid's AMPTrainer without CUDA; it asserts CUDA once, so one check is answered with True."""
    with monkeypatch.context() as there_is_cuda:
        answers = iter([True])
        there_is_cuda.setattr(torch.cuda, "is_available", functools.partial(next, answers, False))
        trainer.run_step()


@contextlib.contextmanager
def undisturbed():
    """Afterwards, restore fast-reid's loggers and the global random state, which a run changes for its process."""
    toolbox, loop = logging.getLogger("fastreid"), logging.getLogger("fastreid.engine.train_loop")
    before = toolbox.handlers, toolbox.propagate, toolbox.level, loop.filters
    chances = random.getstate(), np.random.get_state(), torch.get_rng_state()
    toolbox.handlers, loop.filters = [], []
    _forget_log_files()
    try:
        yield
    finally:
        for handler in toolbox.handlers:
            if handler.stream is not sys.stdout:
                handler.stream.close()
        toolbox.handlers, toolbox.propagate, toolbox.level, loop.filters = before
        _forget_log_files()
        for put_back, state in zip((random.setstate, np.random.set_state, torch.set_rng_state), chances):
            put_back(state)


def _forget_log_files():
    toolbox_logger.setup_logger.cache_clear()
    toolbox_logger._cached_log_stream.cache_clear()


def training(folder, *flags, config="gdnorm", overrides=()):
    """The words after ``fastreid`` of a toy training of one of the demo's configs."""
    words = ["train", "--config-file", f"{DEMO}/{config}.yml", "--seed", TOY_SEED, *flags]
    return [*words, *TINY, *ONE_TARGET, "OUTPUT_DIR", folder, *overrides]


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
