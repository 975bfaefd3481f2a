"""The protocols as commands at toy size, with a real kill, and their messages about mistakes."""

import csv
import json
import os
import re
import signal
import subprocess
import time

import pytest

from fastreid_gdnorm.commands.protocol import NAMES
from fastreid_gdnorm.disk import locked
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.paper.comparison import Comparison, Measured
from fastreid_gdnorm.paper.directions import Direction
from fastreid_gdnorm.paper.protocol import Protocol
from fastreid_gdnorm.paper.variants import CONFIGS, PROTOCOLS
from fastreid_gdnorm.runs.experiments import train_row
from fastreid_gdnorm.runs.run_config import load_config, shipped

from ..conftest import REPOSITORY, TINY, command
from ..runs.toy import one_line

TOY = [
    *TINY,
    *"SOLVER.IMS_PER_BATCH 20 SOLVER.MAX_EPOCH 1 SOLVER.AMP.ENABLED False MODEL.BACKBONE.DEPTH 18x".split(),
    *"MODEL.BACKBONE.FEAT_DIM 512 MODEL.BACKBONE.PRETRAIN False MODEL.BACKBONE.LAST_STRIDE 2".split(),
    *"DATALOADER.NUM_WORKERS 0".split(),
]
METRICS = ("Rank-1", "Rank-5", "Rank-10", "mAP")


def comparison(folder):
    """{(target, method, source): line of comparison.csv}"""
    with open(folder / "comparison.csv") as file:
        return {(line["target"], line["method"], line["source"]): line for line in csv.DictReader(file)}


@pytest.mark.long
def test_protocol_1_compares_its_averages_with_table_1(public_datasets, tmp_path, fastreid_here):
    done = fastreid_here("protocol", 1, "--output", tmp_path, *TOY)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "gdnorm/test_results.json").read_text())
    lines = comparison(tmp_path)
    targets = {"V": "DGVIPeR", "P": "DGPRID", "G": "DGGRID", "I": "DGiLIDS", "mean": "average"}
    paper = {"V": 66.1, "P": 72.6, "G": 55.4, "I": 81.3, "mean": 68.9}  # Table 1, GDNorm, Rank-1
    for letter, name in targets.items():
        own, difference = (lines[letter, "GDNorm", source] for source in ("this run", "this run - paper"))
        assert [float(own[metric]) for metric in METRICS] == [results[name][metric] for metric in METRICS]
        assert float(own["Rank-1 std"]) == results[name]["Rank-1 std"]
        assert float(lines[letter, "GDNorm", "paper, Table 1"]["Rank-1"]) == paper[letter]
        assert float(difference["Rank-1"]) == pytest.approx(results[name]["Rank-1"] - paper[letter])
        assert (letter, "DIR-ReID", "paper, Table 1") in lines and difference["Rank-10"] == ""
    assert (tmp_path / "comparison.md").read_text() in done.stdout
    assert "M+D+C2+C3+CS->mean of V+P+G+I" in done.stdout
    assert (tmp_path / "comparison.png").read_bytes()[1:4] == b"PNG"
    sources = load_config(str(tmp_path / "gdnorm/config.yaml")).DATASETS
    assert sources.COMBINEALL and len(sources.NAMES) == 5


@pytest.mark.long
def test_protocol_2_resumes_after_a_kill_and_skips_finished_runs(public_datasets, tmp_path, fastreid_here):
    words = ["protocol", 2, "--output", tmp_path, *TOY]
    process = subprocess.Popen(
        **command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 200
    while not (tmp_path / "to-duke/gdnorm/recipe.yaml").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was still running"
    first = tmp_path / "to-market/gdnorm"
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}

    again = fastreid_here(*words)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()} == before
    assert again.stdout.count("kept from an earlier run") == 1 and again.stdout.count(": train, log: ") == 3
    lines = comparison(tmp_path)
    for letter, rank_1 in {"M": 86.5, "D": 78.2, "C3": 48.6, "MT": 48.1}.items():  # Table 3, GDNorm
        own = float(lines[letter, "GDNorm", "this run"]["Rank-1"])
        assert float(lines[letter, "GDNorm", "this run - paper"]["Rank-1"]) == pytest.approx(own - rank_1)

    (tmp_path / "to-duke/gdnorm/recipe.yaml").unlink()
    foreign = fastreid_here(*words)
    assert foreign.returncode == 2 and "to-duke/gdnorm holds a run with other settings: remove it" in foreign.stderr

    checkpoint = first / "model_final.pth"
    flags = ["--only", "MT+C3+D->M", "--eval-only", "--weights", checkpoint]
    tested = fastreid_here("protocol", 2, "--output", tmp_path / "tested", *flags, *TOY)
    assert tested.returncode == 0, tested.stderr
    assert comparison(tmp_path / "tested/eval")["M", "GDNorm", "this run"] == lines["M", "GDNorm", "this run"]


PROTOCOL_3 = ("protocol", 3, "--only", "C3+MT+CS->M", "--methods", "baseline")


def test_a_dry_run_says_what_would_be_trained_on_what_and_reads_no_data_set(tmp_path, fastreid_here, monkeypatch):
    flags = [*PROTOCOL_3, "--output", tmp_path / "out", "--dry-run"]
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    planned = fastreid_here(*flags, "DATASETS.MSMT17.VERSION", "V2")
    config = REPOSITORY / CONFIGS / "protocol3/to-market/baseline.yml"
    assert planned.stdout == (
        f"C3+MT+CS->M baseline: train {config} at 384x128 on all images of DGCUHK03 (boxes detected), DGMSMT17 "
        f"(version V2, val True), DGCUHKSYSU; test on DGMarket1501; in {tmp_path}/out/to-market/baseline\n"
    )
    assert planned.returncode == 0 and not (tmp_path / "out").exists()
    planned = fastreid_here("protocol", "pairs", "--dry-run", "DATASETS.TESTS", "('office.csv',)")
    assert planned.stdout.count("; test on office.csv; in logs/pairs/from-") == 4


@pytest.mark.long
def test_protocol_3_stands_beside_later_papers(public_datasets, tmp_path, fastreid_here):
    done = fastreid_here(*PROTOCOL_3, "--output", tmp_path, *TOY)
    assert done.returncode == 0, done.stderr
    lines = comparison(tmp_path)
    printed = "CLIP-FGDI, arXiv 2501.16065"
    assert {key: lines["M", key, printed]["mAP"] for key in ("META", "ACL", "CLIP-FGDI")} == {
        "META": "76.5",
        "ACL": "76.8",
        "CLIP-FGDI": "79.8",
    }
    assert lines["M", "META", printed]["Rank-1"] == "" and lines["M", "baseline", "this run"]["mAP"]
    assert "versions may differ from these runs': projects/GDNorm/results/published.csv" in done.stdout
    assert (tmp_path / "comparison.md").read_text() in done.stdout
    trained = load_config(str(tmp_path / "to-market/baseline/config.yaml"))
    assert trained.DATASETS.COMBINEALL and trained.MODEL.META_ARCHITECTURE == "Baseline"


# {name: (flags, overrides, message)}
MISTAKES = {
    "variant": (
        "--variant no-duke",
        [],
        "there is no 'no-duke' in protocol 2; choose from all-images, cuhk-sysu, 256x128",
    ),
    "dry test": ("--dry-run --eval-only", [], "--dry-run shows trainings: leave out --eval-only"),
    "method": (
        "--methods gdn",
        [],
        "--methods: there is no 'gdn'; choose from gdnorm, recommended, branches, balanced, baseline",
    ),
    "direction": ("--only D+C3->M", [], r"--only: there is no 'D\+C3->M'; choose from D\+C3\+MT->M, "),
    "no checkpoint": (
        "--eval-only",
        [],
        "to-market.gdnorm has no checkpoint: train first, or name one with --weights",
    ),
    "lost checkpoint": (
        "--eval-only --only D+C3+MT->M --weights nowhere.pth",
        [],
        "checkpoint nowhere.pth does not exist",
    ),
    "one checkpoint for methods": (
        "--eval-only --methods gdnorm,baseline --weights D+C3+MT->M=x.pth",
        [],
        "--weights works for one method only: choose it with --methods",
    ),
    "checkpoint to train": (
        "--weights x.pth",
        [],
        "--weights needs --eval-only; to start a training from a checkpoint, use MODEL.WEIGHTS FILE",
    ),
    "folder": ("", ["OUTPUT_DIR", "x"], "the overrides .* cannot set OUTPUT_DIR here: use --output"),
    "leak": (
        "",
        ["DATASETS.NAMES", "('DGVIPeR',)", "DATASETS.TESTS", "('DGVIPeR',)"],
        "DGVIPeR is in DATASETS.NAMES and TESTS: the model would train on its test images",
    ),
    "one checkpoint for all": ("--eval-only --weights x.pth", [], "--weights x.pth is one file for 4 runs"),
    "unknown key": ("", ["MODEL.GDNORM.LAMDBA", "1"], "Non-existent key: MODEL.GDNORM.LAMDBA"),
}


@pytest.mark.parametrize("flags, overrides, said", MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_reported_before_any_run(public_datasets, tmp_path, fastreid_here, flags, overrides, said):
    done = fastreid_here("protocol", 2, "--output", tmp_path, *flags.split(), *overrides)
    assert re.search(f"^fastreid protocol: .*{said}", one_line(done))
    assert not list(tmp_path.iterdir())


def test_a_missing_data_set_of_the_last_run_is_reported_before_the_first(datasets, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    protocol = Protocol("2", tmp_path / "out")
    with pytest.raises(UserError, match="data set DGDukeMTMC: .* has no folder DukeMTMC-reID"):
        protocol.train(protocol.choose())
    assert not (tmp_path / "out").exists()


def test_pairs_have_no_branches(tmp_path):
    protocol = Protocol("pairs", tmp_path)
    assert {run.method for run in protocol.choose()} == {"baseline"}
    with pytest.raises(UserError, match="--methods: there is no 'gdnorm'; choose from baseline"):
        protocol.choose(["gdnorm"])
    (one,) = Protocol("pairs", tmp_path, "256x128", ["DATASETS.TESTS", "('DGDukeMTMC',)"]).choose(only=["M->D"])
    assert load_config(one.config).INPUT.SIZE_TEST == [256, 128]


def test_the_command_knows_every_protocol():
    assert tuple(PROTOCOLS) == NAMES


def test_a_row_that_another_process_runs_is_refused(tmp_path):
    row = train_row(tmp_path, shipped("projects/GDNorm/configs/demo/gdnorm.yml"), 0)
    with locked(tmp_path), pytest.raises(UserError, match="another process is working in"):
        row.run("second")


def test_the_mean_over_other_targets_is_not_compared_with_the_papers():
    results = {name: dict.fromkeys(METRICS, 50.0) for name in ("DGVIPeR", "DGPRID", "average")}
    lines = Comparison([Measured(Direction.parse("M+D+C2+C3+CS->V+P"), "GDNorm", results)]).lines
    assert {line.source for line in lines if line.target == "V"} == {"paper, Table 1", "this run", "this run - paper"}
    assert [line.source for line in lines if line.target == "mean"] == ["this run"]


def test_a_direction_that_no_paper_has_is_shown_alone():
    results = {"DGMarket1501": dict.fromkeys(METRICS, 50.0)}
    (line,) = Comparison([Measured(Direction.parse("C3+CS->M"), "GDNorm", results)]).lines
    assert line.source == "this run"


def test_later_papers_are_compared_on_the_images_that_they_train_on():
    results = {"DGMarket1501": dict.fromkeys(METRICS, 50.0)}
    for all_images, printed in (False, 67.5), (True, 76.5):  # META's Protocol-2 and -3
        lines = Comparison([Measured(Direction.parse("C3+MT+CS->M"), "GDNorm", results, all_images)]).lines
        assert {line.values["mAP"] for line in lines if line.method == "META"} == {printed}
        lines = Comparison([Measured(Direction.parse("D+C3+MT->M"), "GDNorm", results, all_images)]).lines
        assert "MUVA" in {line.method for line in lines}, "it is not known which images it trains on"
