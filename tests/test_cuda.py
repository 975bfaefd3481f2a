"""What only a GPU can show, through the front door: ``make test-cuda``."""

import json

import numpy as np
import pytest
import torch

from fastreid_gdnorm import FeatureExtractor

from .conftest import DEMO, TINY, fastreid

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA here"),
]


def train_one_epoch(folder, *overrides):
    one_epoch = ["SOLVER.MAX_EPOCH", "1", "OUTPUT_DIR", str(folder)]
    done = fastreid("train", "--config-file", f"{DEMO}/gdnorm.yml", *TINY, *one_epoch, *overrides)
    assert done.returncode == 0, done.stderr
    return torch.load(folder / "model_final.pth", weights_only=False)["model"]


def test_training_in_half_precision_and_a_path_sweep(datasets, tmp_path):
    weights = train_one_epoch(tmp_path, "MODEL.DEVICE", "cuda", "SOLVER.AMP.ENABLED", "True")
    assert all(tensor.isfinite().all() for tensor in weights.values())
    sweep = ["--output", tmp_path / "paths", "--samples", 2, "--lambdas", "0.6"]
    done = fastreid("paths", "--config-file", tmp_path / "config.yaml", *sweep)
    assert done.returncode == 0, done.stderr
    records = json.loads((tmp_path / "paths/paths.json").read_text())["paths"]
    assert len(records) == 3 + 2 + 2 and all(0 < record["mAP"] <= 100 for record in records)


def test_training_on_the_cpu_of_a_machine_with_a_gpu(datasets, tmp_path):
    weights = train_one_epoch(tmp_path, "MODEL.DEVICE", "cpu", "SOLVER.HOOKS", "('DomainPreciseBN',)")
    assert {tensor.device.type for tensor in weights.values()} == {"cpu"}


def test_features_on_the_gpu_are_those_of_the_cpu(toy_run, datasets):
    images = datasets / "RenderedStation" / "query"
    expected = FeatureExtractor(toy_run, device="cpu")(images)
    assert np.abs(FeatureExtractor(toy_run)(images) - expected).max() <= 1e-4
    in_half = FeatureExtractor(toy_run, half=True)(images)
    assert in_half.dtype == np.float32 and (in_half * expected).sum(axis=1).min() >= 0.999
