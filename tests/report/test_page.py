"""The page about runs: its numbers match the tests, it is self-contained, and a browser shows it."""

import importlib.metadata
import json
import re
import shutil

import pytest
import torch

from fastreid_gdnorm import cli
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.evaluation import METRICS
from fastreid_gdnorm.report.page import write_report
from fastreid_gdnorm.runs.run_folder import RunFolder
from fastreid_gdnorm.runs.training_log import read_metrics

from ..conftest import DEMO, ONE_TARGET, TINY, TOY_SEED, fastreid
from .conftest import find_browser

HEADINGS = (
    "Results",
    "What each run was trained and tested on",
    "Data sets",
    "Loss and learning rate",
    "Gaussian process over depth",
    "Path sweep",
    "Ranked results of the worst and best queries",
)


@pytest.fixture(scope="module")
def baseline(datasets, tmp_path_factory):
    """The folder of a finished toy run of the baseline."""
    folder = tmp_path_factory.mktemp("baseline")
    words = ["--config-file", f"{DEMO}/baseline.yml", "--seed", TOY_SEED, *TINY, *ONE_TARGET, "OUTPUT_DIR", folder]
    done = fastreid("train", *words, "SOLVER.MAX_EPOCH", 1)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def gdnorm(toy_run, tmp_path_factory):
    """A toy run of GDNorm that was moved, with a path sweep whose numbers for sampled paths are made up."""
    folder = tmp_path_factory.mktemp("moved") / "gdnorm"
    shutil.copytree(toy_run, folder)
    metrics = json.loads((folder / "test_results.json").read_text())["RenderedStation"]
    (folder / "paths").mkdir()
    with open(folder / "paths" / "paths.jsonl", "w") as file:
        for path, scale in [("source:0", None), ("mean", None), ("sample:0", 0.6), ("sample:1", 0.6)]:
            record = {"target": "RenderedStation", "path": path, "lambda": scale, **metrics, "seconds_per_batch": 0.1}
            file.write(json.dumps(record) + "\n")
    return folder


@pytest.fixture(scope="module")
def pages(baseline, gdnorm, tmp_path_factory):
    """The folder of a report on both runs, written by the command."""
    folder = tmp_path_factory.mktemp("report")
    assert cli.main(["report", str(baseline), str(gdnorm), "--output", str(folder)]) == 0
    return folder


def test_both_forms_show_the_test_results_and_their_differences(pages, baseline, gdnorm):
    page, text = ((pages / name).read_text() for name in ("report.html", "report.md"))
    first, second = (
        json.loads((folder / "test_results.json").read_text())["RenderedStation"] for folder in (baseline, gdnorm)
    )
    in_html = re.search(r"gdnorm</th>(.*)</tr>", page).group(1)
    cells = re.findall(r'<td class="number">(\S+) <span class="\w+">(\S+)</span>', in_html)
    in_text = re.search(r"^\| gdnorm +\|(.*)\|$", text, re.MULTILINE).group(1)
    assert [tuple(re.split(r" \(|\)", cell.strip())[:2]) for cell in in_text.split("|")] == cells
    for metric, (value, delta) in zip(METRICS, cells):
        assert value == f"{second[metric]:.1f}"
        assert float(delta) == pytest.approx(second[metric] - first[metric], abs=0.051)


def test_both_forms_have_every_section_and_the_html_is_self_contained(pages):
    page, text = ((pages / name).read_text() for name in ("report.html", "report.md"))
    for heading in HEADINGS:
        assert re.search(rf"<h[23]>{heading}</h[23]>", page) and re.search(rf"^##+ {heading}$", text, re.MULTILINE)
    assert not re.search(r"https?://|@import|<script|url\(", page)
    sources = re.findall(r'(?:src|href)="([^"]{,30})', page)
    assert sources and all(source.startswith("data:") for source in sources)
    images = re.findall(r"!\[.+\]\((.+)\)", text)
    assert len(images) == len(sources) - 1 and all((pages / image).is_file() for image in images)
    assert page.count("alt=") == len(images)


def test_the_text_says_what_was_done_and_where_to_be_careful(pages):
    text = (pages / "report.md").read_text()
    assert f"trained for 2 epochs on RenderedStreet, RenderedMall and RenderedCampus with seed {TOY_SEED}" in text
    assert "On RenderedStation, which it has not seen, it reaches Rank-1" in text
    assert re.search(r"only 12 queries of 6 people .* no better than ± \d\d points", text)
    assert re.search(r"\| `MODEL.META_ARCHITECTURE` +\| Baseline +\| GDNormBaseline +\|", text)
    assert re.search(r"\| heads.bottleneck.0 +(\| -?[\d.e-]+ +){4}\|", text), "the process, layer by layer"
    assert re.search(r"the band of a (widened|narrowed) [\d.]+-fold", text)
    assert f"fastreid {importlib.metadata.version('fastreid')}" in text
    assert re.search(r"PyTorch \d", text) and "of another checkpoint" not in text


def test_a_run_without_test_results_json_is_read_from_its_metrics(gdnorm, tmp_path):
    expected = RunFolder(gdnorm).results
    for name in ("config.yaml", "metrics.json", "last_checkpoint", "model_final.pth"):
        shutil.copy(gdnorm / name, tmp_path)
    (results,) = RunFolder(tmp_path).results.values()
    assert results == {name: pytest.approx(expected["RenderedStation"][name]) for name in METRICS}


def test_metrics_of_a_resumed_run_are_the_latest_ones(tmp_path):
    lines = [{"iteration": 1, "lr": 1}, {"iteration": 2, "lr": 2}, {"iteration": 3}, {"iteration": 2, "lr": 5}]
    file = tmp_path / "metrics.json"
    file.write_text("\n".join(map(json.dumps, [*lines, {"iteration": 2, "mAP": 7}])))
    assert read_metrics(file) == [{"iteration": 1, "lr": 1}, {"iteration": 2, "lr": 5, "mAP": 7}]


@pytest.mark.parametrize(
    "missing, said",
    [
        (["config.yaml"], "is not a run: it has no config.yaml"),
        (["test_results.json", "metrics.json"], "has no results"),
        (["last_checkpoint"], "has no checkpoint"),
    ],
    ids=["no run", "no results", "no checkpoint"],
)
def test_an_unfinished_run_is_one_line(gdnorm, tmp_path, missing, said):
    for file in gdnorm.iterdir():
        if file.is_file() and file.name not in missing:
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(UserError, match=said) as raised:
        write_report([tmp_path])
    assert str(tmp_path) in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "report").exists()


def test_a_run_with_nan_weights_is_one_line(gdnorm, tmp_path, fastreid_here):
    run = shutil.copytree(gdnorm, tmp_path / "diverged")
    checkpoint = torch.load(run / "model_final.pth", weights_only=True)
    checkpoint["model"] = {name: value * float("nan") for name, value in checkpoint["model"].items()}
    torch.save(checkpoint, run / "model_final.pth")
    done = fastreid_here("report", run, "--output", tmp_path / "page")
    assert done.returncode == 2 and f"{run / 'model_final.pth'} gives no usable features for " in done.stderr


def test_targets_that_are_not_on_disk_are_named(datasets, gdnorm, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    for folder in datasets.glob("Rendered*"):
        (tmp_path / "data" / folder.name).symlink_to(folder)
    text = (gdnorm / "config.yaml").read_text()
    assert "- RenderedStation\n" in text
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "data"))
    run = tmp_path / "run"
    shutil.copytree(gdnorm, run)
    (run / "config.yaml").write_text(text.replace("- RenderedStation\n", "- DGVIPeR\n"))
    metrics = json.loads((run / "test_results.json").read_text())
    (run / "test_results.json").write_text(json.dumps({"DGVIPeR": metrics["RenderedStation"]}))
    write_report([run])
    assert "Not drawn: data set DGVIPeR" in (run / "report" / "report.md").read_text()


def test_queries_that_results_leave_out_are_counted(gdnorm, station, tmp_path):
    for image in station.glob("bounding_box_test/0007_*"):
        image.unlink()
    run = shutil.copytree(gdnorm, tmp_path / "run")
    write_report([run])
    assert "2 queries of RenderedStation are left out of the results" in (run / "report" / "report.md").read_text()


def test_a_missing_browser_is_a_failure_if_one_is_required(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("REQUIRE_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no browser"):
        find_browser()
    monkeypatch.setenv("REQUIRE_BROWSER", "1")
    with pytest.raises(pytest.fail.Exception, match="no browser"):
        find_browser()


@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_shows_the_page_without_errors_requests_or_overflow(pages, shown, width):
    page = shown(pages / "report.html", width)
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 100)")
    assert len(page.screenshot(full_page=True)) > 100_000
