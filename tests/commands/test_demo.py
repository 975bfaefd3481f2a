"""The demo at toy size: its table, its figures, and that finished trainings are kept."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from fastreid_gdnorm.demo import run_demo
from fastreid_gdnorm.errors import UserError

from ..conftest import TINY

SOURCES = ("RenderedStreet", "RenderedMall", "RenderedCampus")
DOMAINS = {"sources": SOURCES, "targets": ("RenderedStation", "RenderedNight")}


@pytest.mark.long
def test_the_demo_prints_and_saves_its_results_and_keeps_finished_trainings(datasets, tmp_path, capsys):
    run_demo(tmp_path, overrides=TINY, **DOMAINS)
    said = capsys.readouterr().out
    rows = json.loads((tmp_path / "results.json").read_text())
    assert list(rows) == ["baseline", "branches only", "GDNorm", "recommended"]
    mAPs = {
        name: {network: [of[target]["mAP"] for target in of] for network, of in row.items()}
        for name, row in rows.items()
    }
    assert [len(of["mean_of_path"]) for of in mAPs.values()] == [0, 2, 2, 2], "the baseline has no mean path"
    assert all(0 < mAP <= 100 for row in mAPs.values() for of in row.values() for mAP in of)
    table = (tmp_path / "results.md").read_text()
    assert table.strip() in said and "2 unseen domains, RenderedStation to RenderedNight" in said
    ours = next(line for line in table.splitlines() if line.startswith("| GDNorm"))
    for network, mAP in mAPs["GDNorm"].items():
        differences = np.subtract(mAP, mAPs["baseline"]["trained"])
        assert f"{np.mean(mAP):.1f}" in ours, network
        half = 12.706 * differences.std(ddof=1) / 2**0.5  # t of two targets
        assert f"{differences.mean():+.1f} ± {half:.1f}" in ours, network
    with open(tmp_path / "results.csv") as file:
        tests = [row["row"] for row in csv.DictReader(file)]
    assert {row: tests.count(row) for row in tests} == {"baseline": 4, **dict.fromkeys([*rows][1:], 6)}
    assert "fastreid train --help" in said

    picture = np.asarray(Image.open(tmp_path / "ranked_results.png").convert("RGB")).reshape(-1, 3)
    assert len(np.unique(picture, axis=0)) > 1000, "photographs, not an empty figure"

    manifest = json.loads((tmp_path / "export/manifest.json").read_text())
    exported = manifest["files"]["model.pth"]
    assert exported["difference"] <= exported["tolerance"]
    page = (tmp_path / "report/report.html").read_text()
    assert all(f"{mAP:.1f}" in page for of in mAPs.values() for mAP in of["trained"])

    before = (tmp_path / "gdnorm/metrics.json").read_bytes()
    run_demo(tmp_path, overrides=TINY, **DOMAINS)
    assert capsys.readouterr().out.count("kept from an earlier run") == 4
    assert (tmp_path / "gdnorm/metrics.json").read_bytes() == before
    assert json.loads((tmp_path / "results.json").read_text()) == rows
    with pytest.raises(UserError, match="baseline holds a run with other settings: remove it"):
        run_demo(tmp_path, seed=1, overrides=TINY, **DOMAINS)


@pytest.mark.long
def test_a_row_that_fails_says_where_to_look(datasets, tmp_path, capfd):
    with pytest.raises(UserError, match=r"baseline: train failed, see .*train.log"):
        run_demo(tmp_path, overrides=[*TINY, "SOLVER.IMS_PER_BATCH", "13"], **DOMAINS)
    assert "fastreid train: " in capfd.readouterr().err
    assert not (tmp_path / "results.json").exists()
