"""Patches of fast-reid's ranking."""

import functools
import importlib
import logging
import sys

import numpy as np
import pytest
from fastreid import evaluation
from fastreid.evaluation import reid_evaluation


@pytest.mark.parametrize("make", [None, "#!/bin/sh\nexit 1\n"], ids=["no make", "make fails"])
def test_evaluation_without_a_compiler_warns_and_goes_on(tiny, tmp_path, make, monkeypatch, caplog):
    (tmp_path / "Cython").mkdir()  # a Cython, so that fast-reid tries to build
    (tmp_path / "Cython/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "bin").mkdir()
    if make:
        (tmp_path / "bin/make").write_text(make)
        (tmp_path / "bin/make").chmod(0o755)
        (tmp_path / "bin/sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/python3"))
    monkeypatch.setitem(sys.modules, "fastreid.evaluation.rank_cylib.rank_cy", None)  # it may have been built
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)
    evaluation.ReidEvaluator(tiny("gdnorm", "TEST.RANKING", "stock"), num_query=1)
    assert "Ranking in Python" in caplog.text


@pytest.fixture(params=["bounded", "stock"])
def stock_rank(request, tiny, monkeypatch):
    """fast-reid's own evaluate_rank, after a first evaluator for either ranking."""
    monkeypatch.setattr(reid_evaluation, "compile_helper", lambda: None)  # no compiler
    monkeypatch.delitem(sys.modules, "fastreid.evaluation.rank", raising=False)
    monkeypatch.delattr(evaluation, "rank", raising=False)
    evaluation.ReidEvaluator(tiny("gdnorm", "TEST.RANKING", request.param), num_query=2)
    return functools.partial(importlib.import_module("fastreid.evaluation.rank").evaluate_rank, use_cython=False)


def test_the_cuhk03_metric_runs_on_this_numpy(stock_rank):
    distances = np.array([[0.1, 0.9, 0.5], [0.8, 0.2, 0.6]])
    pids, cameras = np.array([1, 2]), np.array([0, 0])
    cmc, mean_ap = stock_rank(
        distances, pids, np.array([1, 2, 3]), cameras, np.array([1, 1, 1]), use_metric_cuhk03=True
    )
    assert cmc[0] == 1.0 and mean_ap == 1.0


def test_a_gallery_may_have_fewer_images_than_ranks(stock_rank):
    distances = np.array([[0.1, 0.9, 0.5], [0.1, 0.2, 0.6]])
    pids, cameras = np.array([1, 2]), np.array([0, 0])
    # the third image counts for the second query alone: it has the identity and the camera of the first
    cmc, all_ap, all_inp = stock_rank(distances, pids, np.array([1, 2, 1]), cameras, np.array([1, 1, 0]))
    assert cmc.tolist() == [0.5] + [1.0] * 49
    assert list(all_ap) == list(all_inp) == [1.0, 0.5]
