"""One vocabulary: every command takes its model by ``--model``, and images as plain words."""

import importlib

import pytest

from fastreid_gdnorm import cli

from ..runs.toy import one_line

WORK = {  # the function that does the work of a command that takes a config
    "eval": "fastreid_gdnorm.runs.run.evaluate",
    "paths": "fastreid_gdnorm.report.sweep_report.sweep_paths",
    "export": "fastreid_gdnorm.export.export_model",
}
OUTPUT = {"eval": [], "paths": ["--output", "new"], "export": ["--output", "new"]}


@pytest.fixture
def given(monkeypatch, tmp_path):
    """A function (command, words) -> the first argument that the command's work is called with."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    calls = []

    def call(command, work, *words):
        module, _, name = work.rpartition(".")
        monkeypatch.setattr(importlib.import_module(module), name, lambda first, *others: calls.append(first))
        assert cli.main([command, *words]) == 0
        return calls.pop()

    return call


@pytest.mark.parametrize("command", WORK)
def test_a_model_is_a_runs_folder_or_a_config(command, given):
    for words, meant in (
        (["--model", "run"], "run"),
        (["--config-file", "run/config.yaml"], "run/config.yaml"),
        (["--model", "run", "--config-file", "./run/config.yaml"], "run"),
    ):
        assert given(command, WORK[command], *words, *OUTPUT[command]) == meant


def test_report_takes_runs_as_positionals_and_by_model(given):
    work = "fastreid_gdnorm.report.page.write_report"
    assert given("report", work, "run", "other") == ["run", "other"]
    assert given("report", work, "--model", "run", "other") == ["run", "other"]
    assert given("report", work, "run", "--model", "other") == ["run", "other"]


MISTAKES = {
    "": "name a model: --model RUN (an output folder of fastreid train) or --config-file FILE",
    "--model nowhere": "--model nowhere is not a run: it has no config.yaml; pass an output folder of fastreid train",
    "--model model.onnx": "--model model.onnx is not a run",
    "SEED 1 --model run": "--model is a flag: flags must come before the first KEY",
    "--model run --model run": "--model is given more than once: pass it once",
    "--model run --config-file other.yml": "--model run and --config-file other.yml name different models: pass one",
}


@pytest.mark.parametrize("command", WORK)
@pytest.mark.parametrize("words", MISTAKES)
def test_a_wrong_combination_is_one_line(command, words, given, tmp_path, fastreid_here):
    (tmp_path / "model.onnx").touch()
    line = one_line(fastreid_here(command, *OUTPUT[command], *words.split()))
    assert line.startswith(f"fastreid {command}: {MISTAKES[words]}")
    assert not (tmp_path / "new").exists()


def test_report_without_a_run_is_one_line(fastreid_here):
    assert one_line(fastreid_here("report")) == "fastreid report: name one or more runs: fastreid report RUN_DIR ..."


@pytest.mark.parametrize(
    "words, images",
    [
        ("adapt --model MODEL a.jpg b.jpg --output DIR", "images"),
        ("adapt --model MODEL --images a.jpg b.jpg --output DIR", "more"),
        ("extract --model MODEL a.jpg b.jpg --output FILE", "images"),
        ("index --model MODEL a.jpg b.jpg --gallery DIR", "images"),
        ("search --model MODEL a.jpg b.jpg --gallery DIR", "images"),
    ],
)
def test_images_are_positional_beside_model(words, images):
    args = cli.parse(words.split())
    assert args.model == "MODEL" and getattr(args, images) == ["a.jpg", "b.jpg"]


def test_calibrate_takes_labelled_images_beside_model():
    args = cli.parse(["calibrate", "--model", "MODEL", "labelled.csv"])
    assert args.model == "MODEL" and args.labelled == "labelled.csv"
