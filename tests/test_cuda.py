"""What only a GPU can show, through the front door: ``make test-cuda``."""

import json

import numpy as np
import pytest
import torch
from fastreid.evaluation import ReidEvaluator

from fastreid_gdnorm import FeatureExtractor
from fastreid_gdnorm.evaluation import distances, ranking
from fastreid_gdnorm.layers.distributed import synchronized_batch_norm

from .conftest import DEMO, TINY, fastreid

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA here"),
]


def train_one_epoch(folder, *overrides, flags=()):
    one_epoch = ["SOLVER.MAX_EPOCH", "1", "OUTPUT_DIR", str(folder)]
    done = fastreid("train", "--config-file", f"{DEMO}/gdnorm.yml", *flags, *TINY, *one_epoch, *overrides)
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


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one GPU")
def test_two_gpus_train_one_network_in_half_precision(datasets, tmp_path):
    synced = "SOLVER.AMP.ENABLED True MODEL.BACKBONE.NORM syncBN MODEL.HEADS.NORM syncBN MODEL.DEVICE cuda".split()
    weights = train_one_epoch(tmp_path, *synced, flags=["--num-gpus", 2])
    assert all(tensor.isfinite().all() for tensor in weights.values())
    assert "World size: 2" in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_synchronized_batch_norm_over_nccl_is_the_stock_one(tmp_path, dtype):
    x = 3 * torch.randn(16, 8, 6, 4, device="cuda").to(dtype) + 1
    stock, ours = torch.nn.BatchNorm2d(8).cuda(), torch.nn.BatchNorm2d(8).cuda()
    torch.distributed.init_process_group("nccl", init_method=f"file://{tmp_path}/group", world_size=1, rank=0)
    try:
        outputs = []
        for bn, out in ((stock, stock(x)), (ours, synchronized_batch_norm([ours], x))):
            out.float().square().sum().backward()
            outputs.append((out, bn.weight.grad, bn.running_mean, bn.running_var))
    finally:
        torch.distributed.destroy_process_group()
    for found, expected in zip(*outputs):
        assert torch.allclose(found.float(), expected.float(), rtol=1e-3 if dtype == torch.float32 else 2e-2, atol=1e-3)


def test_training_on_the_cpu_of_a_machine_with_a_gpu(datasets, tmp_path):
    weights = train_one_epoch(tmp_path, "MODEL.DEVICE", "cpu", "SOLVER.HOOKS", "('DomainPreciseBN',)")
    assert {tensor.device.type for tensor in weights.values()} == {"cpu"}


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("rerank", ["False", "True"])
def test_ranking_on_the_gpu_is_that_of_the_cpu(metric, rerank, tiny, monkeypatch):
    monkeypatch.setattr(distances, "BLOCK_BYTES", 7 * 4 * 200)
    generator = torch.Generator().manual_seed(0)
    pids = torch.randint(24, (240,), generator=generator)
    features = torch.randn(24, 32, generator=generator)[pids] + torch.randn(240, 32, generator=generator)
    results, used = [], []
    at_once = ranking._ranks_at_once
    monkeypatch.setattr(
        ranking, "_ranks_at_once", lambda rows, own: used.append(rows.device.type) or at_once(rows, own)
    )
    for device in ("cpu", "cuda"):
        overrides = ["TEST.METRIC", metric, "TEST.RERANK.ENABLED", rerank, "TEST.ROC.ENABLED", "True"]
        evaluator = ReidEvaluator(tiny("gdnorm", "MODEL.DEVICE", device, *overrides), num_query=40)
        evaluator.process({"targets": pids, "camids": torch.arange(240) % 4}, features)
        results.append(evaluator.evaluate())
    assert set(used) == {"cuda"} and 20 < results[0]["mAP"] < 99.5
    assert results[1] == pytest.approx(results[0], abs=1e-3)


def test_features_on_the_gpu_are_those_of_the_cpu(toy_run, datasets):
    images = datasets / "RenderedStation" / "query"
    expected = FeatureExtractor(toy_run, device="cpu")(images)
    assert np.abs(FeatureExtractor(toy_run)(images) - expected).max() <= 1e-4
    in_half = FeatureExtractor(toy_run, half=True)(images)
    assert in_half.dtype == np.float32 and (in_half * expected).sum(axis=1).min() >= 0.999
