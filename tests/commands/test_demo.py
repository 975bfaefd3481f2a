"""The demo at toy size: its table, its figure, and that what is done is kept."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from fastreid_gdnorm.demo import run_demo
from fastreid_gdnorm.errors import UserError

from ..conftest import TINY


@pytest.mark.long
def test_demo_prints_and_saves_one_table_and_a_figure_and_keeps_what_is_done(datasets, tmp_path, capsys):
    run_demo(tmp_path, overrides=TINY)
    said = capsys.readouterr().out
    rows = json.loads((tmp_path / "results.json").read_text())
    assert list(rows) == ["baseline", "baseline, balanced batches", "branches only", "GDNorm"]
    for row in rows.values():
        assert list(row) == ["Rank-1", "Rank-5", "Rank-10", "mAP", "mINP", "seconds"]
        assert 0 < row["mAP"] <= 100 and row["seconds"] > 0
    table = (tmp_path / "results.md").read_text()
    assert table.strip() in said and "RenderedStation, which no model has seen" in said
    with open(tmp_path / "results.csv") as file:
        assert [row["row"] for row in csv.DictReader(file)] == list(rows)
    assert "fastreid train --help" in said

    picture = np.asarray(Image.open(tmp_path / "ranked_results.png").convert("RGB")).reshape(-1, 3)
    assert len(np.unique(picture, axis=0)) > 1000, "photographs, not an empty figure"

    manifest = json.loads((tmp_path / "export/manifest.json").read_text())
    exported = manifest["files"]["model.pth"]
    assert exported["difference"] <= exported["tolerance"]
    page = (tmp_path / "report/report.html").read_text()
    assert all(f"{row['mAP']:.1f}" in page for row in rows.values())

    before = (tmp_path / "gdnorm/metrics.json").read_bytes()
    run_demo(tmp_path, overrides=TINY)
    assert capsys.readouterr().out.count("kept from an earlier run") == 4
    assert (tmp_path / "gdnorm/metrics.json").read_bytes() == before
    with pytest.raises(UserError, match="baseline holds a run of other settings: remove it"):
        run_demo(tmp_path, seed=1, overrides=TINY)


@pytest.mark.long
def test_a_row_that_fails_says_where_to_look(datasets, tmp_path, capfd):
    with pytest.raises(UserError, match=r"\[1/4\] baseline: train failed, see .*train.log"):
        run_demo(tmp_path, overrides=[*TINY, "SOLVER.IMS_PER_BATCH", "13"])
    assert "fastreid train: " in capfd.readouterr().err
    assert not (tmp_path / "results.json").exists()
