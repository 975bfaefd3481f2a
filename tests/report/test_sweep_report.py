"""``fastreid paths``: its numbers match ``fastreid eval``, survive a kill, and are summarised correctly."""

import contextlib
import csv
import io
import itertools
import json
import signal
import statistics
import subprocess
import time

import pytest
import torch
from PIL import Image

from fastreid_gdnorm import cli
from fastreid_gdnorm.disk import locked
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.evaluation import METRICS
from fastreid_gdnorm.evaluation.path_sweep import sweep
from fastreid_gdnorm.report.sweep_report import sweep_paths
from fastreid_gdnorm.runs import run
from fastreid_gdnorm.runs.results import read_test_results
from fastreid_gdnorm.runs.run_checkpoints import load_model
from fastreid_gdnorm.runs.run_config import load_config

from ..conftest import command

BOTH = ["DATASETS.TESTS", "('RenderedStation','RenderedNight')"]


SWEEP = {"samples": 6, "lambdas": (0.0, 0.6, 3.0), "overrides": BOTH}


@pytest.fixture(scope="module")
def swept(toy_run, tmp_path_factory):
    """The folder of a sweep of two targets, and its output."""
    folder = tmp_path_factory.mktemp("swept")
    with contextlib.redirect_stdout(io.StringIO()) as said:
        sweep_paths(toy_run / "config.yaml", folder, **SWEEP)
    return folder, said.getvalue()


@pytest.mark.long
def test_a_killed_sweep_resumes_and_repeats_nothing(toy_run, swept, tmp_path):
    config = toy_run / "config.yaml"
    words = ["paths", "--config-file", config, "--output", tmp_path, "--samples", 6, "--lambdas", "0,0.6,3", *BOTH]
    process = subprocess.Popen(**command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    file = tmp_path / "paths.jsonl"
    deadline = time.monotonic() + 120
    while not (file.exists() and file.read_text().count("\n") > 7) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was still running"
    kept = file.read_text()
    whole = kept[: kept.rfind("\n") + 1]
    file.write_text(whole + '{"target": "RenderedSta')  # as a kill in the middle of a line leaves it
    sweep_paths(config, tmp_path, **SWEEP)
    assert file.read_text().startswith(whole) and len(file.read_text().splitlines()) == 2 * (3 + 2 + 6 * 3)
    broken, unbroken = (
        [{**record, "seconds_per_batch": None} for record in records_of(folder)] for folder in (tmp_path, swept[0])
    )
    assert broken == unbroken


def records_of(folder, target="RenderedStation"):
    with open(folder / "paths.csv") as file:
        return [record for record in csv.DictReader(file) if record["target"] == target]


@pytest.fixture
def evaluated(toy_run, tmp_path, monkeypatch):
    """A function (path, *overrides) -> the results of ``fastreid eval --path``, {target: metrics}."""
    monkeypatch.setattr(run, "setup_logger", lambda distributed_rank: None)  # which sets up the whole process

    def evaluated(path, *overrides):
        run.evaluate(toy_run / "config.yaml", overrides, path, tmp_path)
        return read_test_results(tmp_path)

    return evaluated


def test_the_numbers_match_those_of_eval(swept, evaluated):
    paths_of = {record["path"]: record for record in records_of(swept[0]) if not record["lambda"]}
    assert list(paths_of) == ["source:0", "source:1", "source:2", "mean", "ensemble"]
    for path in ("mean", "source:1", "ensemble"):
        own = evaluated(path, *BOTH)
        assert [float(paths_of[path][metric]) for metric in METRICS] == [own["RenderedStation"][m] for m in METRICS]
    (night,) = [record for record in records_of(swept[0], "RenderedNight") if record["path"] == "ensemble"]
    assert float(night["mAP"]) == own["RenderedNight"]["mAP"]
    (sampled,) = [r for r in records_of(swept[0]) if (r["path"], r["lambda"]) == ("sample:4", "3.0")]
    own = evaluated("sample:4", "MODEL.GDNORM.LAMBDA", "3.0")
    assert float(sampled["mAP"]) == own["RenderedStation"]["mAP"]


def test_every_path_gives_different_features_except_that_lambda_0_is_the_mean_path(toy_run, tmp_path):
    cfg = load_config(str(toy_run / "config.yaml"))
    model, features = load_model(cfg), []
    model.register_forward_hook(lambda model, batch, out: features.append(out))
    records = sweep(model, cfg, tmp_path / "paths.jsonl", samples=2, lambdas=[0, 0.6, 3])
    _, *features = features  # the first warms up; all images are one batch
    assert len(features) == len(records)
    of_path = {}
    for record, own in zip(records, features):
        if record["lambda"] == 0:
            assert torch.equal(own, of_path["mean", None])
        else:
            of_path[record["path"], record["lambda"]] = own
    assert len(of_path) == 5 + 2 * 2
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(of_path.values(), 2))


def test_the_summary_ranks_the_mean_path_among_the_samples(swept):
    folder, said = swept
    records = records_of(folder)
    (mean_path,) = [float(record["mAP"]) for record in records if record["path"] == "mean"]
    values = {scale: [float(r["mAP"]) for r in records if r["lambda"] == scale] for scale in ("0.0", "0.6", "3.0")}
    assert values["0.0"] == [mean_path] * 6
    summary = json.loads((folder / "paths.json").read_text())["summary"]["RenderedStation"]["mAP"]
    for scale, found in values.items():
        assert summary[scale]["rank"] == 1 + sum(value > mean_path for value in found)
        assert summary[scale]["average"] == pytest.approx(statistics.mean(found))
        assert (summary[scale]["of"], summary[scale]["worst"], summary[scale]["best"]) == (7, min(found), max(found))
    assert (folder / "paths.md").read_text() in said and "RenderedNight" in said
    for target in ("RenderedStation", "RenderedNight"):
        for figure, inches in ("samples", (9, 4)), ("paths", (7.5, 4)):
            with Image.open(folder / f"{target}_{figure}.png") as picture:
                assert picture.size == tuple(int(130 * side) for side in inches)
                assert len(picture.getcolors(picture.width * picture.height)) > 50


def test_mistakes_are_one_line_and_lose_nothing(toy_run, swept, capsys):
    folder, _ = swept
    config, before = toy_run / "config.yaml", (folder / "paths.jsonl").read_bytes()
    with pytest.raises(UserError, match="holds a sweep with TEST.FLIP.ENABLED False, but this one has True: remove"):
        sweep_paths(config, folder, overrides=["TEST.FLIP.ENABLED", "True"])
    with pytest.raises(UserError, match="paths are for GDNorm models; MODEL.META_ARCHITECTURE is Baseline"):
        sweep_paths(config, folder, overrides=["MODEL.META_ARCHITECTURE", "Baseline"])
    with locked(folder), pytest.raises(UserError, match="another process is working in"):
        sweep_paths(config, folder, **SWEEP)
    assert (folder / "paths.jsonl").read_bytes() == before
    with pytest.raises(SystemExit, match="2"):
        cli.main(["paths", "--config-file", str(config), "--output", str(folder), "--lambdas", "a,b"])
    assert "--lambdas: must be numbers of 0 or more" in capsys.readouterr().err
