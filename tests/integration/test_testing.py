"""For a config that does not use the plugin, it adds files to a test and changes no number."""

import functools
import importlib
import json
import zlib

import numpy as np
import pytest
import torch
from fastreid.data import build_reid_test_loader
from fastreid.engine import DefaultTrainer
from fastreid.evaluation import reid_evaluation

from ..evaluation.test_ranking import margin

METRICS = ["Rank-1", "Rank-5", "Rank-10", "mAP", "mINP", "metric"]


class Drawn(torch.nn.Module):
    """Gives an image a feature of whole numbers, seeded by its file's name and, with less weight, by its identity."""

    def forward(self, batch):
        seeds = zip(batch["targets"].tolist(), batch["img_paths"])
        return torch.stack([torch.from_numpy(self._feature(pid, path.split("/")[-1])) for pid, path in seeds])

    def _feature(self, pid, name):
        of_identity, of_image = (np.random.RandomState(seed) for seed in (pid % 2**32, zlib.crc32(name.encode())))
        return (of_identity.randint(-9, 10, 32) + of_image.randint(-20, 21, 32)).astype(np.float32)


def stock_test(cfg):
    """fast-reid's own DefaultTrainer.test."""
    return DefaultTrainer.test.__func__.__wrapped__(DefaultTrainer, cfg, Drawn())


@pytest.fixture(autouse=True)
def without_compiler(monkeypatch):
    monkeypatch.setattr(reid_evaluation, "compile_helper", lambda: None)


@pytest.mark.parametrize("targets", [("RenderedStation",), ("RenderedStation", "RenderedNight")], ids=["one", "two"])
def test_result_files_change_nothing_in_what_a_test_returns(tiny, tmp_path, targets):
    cfg = tiny("baseline", "DATASETS.TESTS", str(targets))
    stock, found = stock_test(cfg), DefaultTrainer.test(cfg, Drawn())
    assert type(found) is type(stock) and list(found.items()) == list(stock.items())
    by_target = found if len(targets) > 1 else {targets[0]: found}
    assert [list(metrics) for metrics in by_target.values()] == [METRICS] * len(targets)
    assert json.loads((tmp_path / "run/test_results.json").read_text()) == by_target


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_features_of_zeros_cause_one_warning_with_cosine(tiny, metric, caplog):
    class Dead(torch.nn.Module):
        def forward(self, batch):
            return torch.zeros(len(batch["targets"]), 8)

    targets = ["DATASETS.TESTS", "('RenderedStation',)", "TEST.IMS_PER_BATCH", "4"]
    DefaultTrainer.test(tiny("baseline", "TEST.METRIC", metric, *targets), Dead())
    assert sum("are all zero" in record.message for record in caplog.records) == (metric == "cosine")


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_bounded_ranking_gives_stocks_numbers(tiny, metric, monkeypatch):
    rank = importlib.import_module("fastreid.evaluation.rank")
    in_python = functools.wraps(rank.evaluate_rank)(functools.partial(rank.evaluate_rank, use_cython=False))
    monkeypatch.setattr(rank, "evaluate_rank", in_python)
    stock_dist, ranked = reid_evaluation.build_dist, []
    kept = functools.wraps(stock_dist)(lambda *args: ranked.append(stock_dist(*args)) or ranked[-1])
    monkeypatch.setattr(reid_evaluation, "build_dist", kept)
    cfg = tiny("baseline", "TEST.METRIC", metric, "TEST.RANKING", "stock")
    stock = stock_test(cfg)
    loader, num_query = build_reid_test_loader(cfg, dataset_name="RenderedStation")
    pids = np.array([item[1] for item in loader.dataset.img_items])
    (distances,) = ranked
    assert margin(distances, pids[:num_query], pids[num_query:]) > 2e-6, "no machine's rounding changes a rank"

    cfg = tiny("baseline", "TEST.METRIC", metric)
    assert cfg.TEST.RANKING == "bounded"
    found = DefaultTrainer.test(cfg, Drawn())
    assert len(ranked) == 1, "stock's distances are not used"
    assert list(found) == list(stock) == METRICS
    assert 20 < stock["mAP"] < 90
    assert found == pytest.approx(stock, rel=1e-12, abs=0)  # sums of the same numbers in another order


def test_a_projects_own_distances_are_used(tiny, monkeypatch):
    def farthest_first(queries, gallery, metric):
        return queries.numpy() @ gallery.numpy().T

    monkeypatch.setattr(reid_evaluation, "build_dist", farthest_first)
    monkeypatch.setattr(importlib.import_module("fastreid.evaluation.rank"), "IS_CYTHON_AVAI", False)
    assert DefaultTrainer.test(tiny("baseline"), Drawn())["mAP"] < 20
