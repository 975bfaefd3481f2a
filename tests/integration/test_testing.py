"""What the plugin adds to the tests of a config that does not ask for it: files, and no number."""

import json

import pytest
import torch
from fastreid.engine import DefaultTrainer
from fastreid.evaluation import reid_evaluation


def test_a_stock_config_is_tested_with_stocks_numbers(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(reid_evaluation, "compile_helper", lambda: None)  # no compiler
    torch.manual_seed(0)
    cfg = tiny("baseline")
    model = DefaultTrainer.build_model(cfg)
    found = DefaultTrainer.test(cfg, model)
    stock_test = DefaultTrainer.test.__func__.__wrapped__
    stock = stock_test(DefaultTrainer, tiny("baseline", "TEST.RANKING", "stock"), model)
    assert list(found) == list(stock)
    assert found == pytest.approx(stock, abs=1e-4)
    assert json.loads((tmp_path / "run/test_results.json").read_text()) == {"RenderedStation": dict(found)}
