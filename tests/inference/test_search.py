"""``fastreid search`` finds the best matches and judges them, as a table, JSON or a page."""

import contextlib
import json
import os
import re
import shutil

import numpy as np
import pytest
import torch

from fastreid_gdnorm import FeatureExtractor, Gallery, cli
from fastreid_gdnorm.evaluation.reranking import jaccard
from fastreid_gdnorm.inference.queries import CANDIDATES
from fastreid_gdnorm.inference.thresholds import CameraThreshold, Rate, Threshold, read_thresholds, save_threshold

from ..conftest import undisturbed
from ..runs.toy import one_line


@pytest.fixture(scope="module")
def model(toy_run, tmp_path_factory):
    """A copy of the toy run, so that tests can add a threshold."""
    folder = tmp_path_factory.mktemp("calibrated") / "model"
    shutil.copytree(toy_run, folder)
    return folder


@pytest.fixture(scope="module")
def site(model, datasets, tmp_path_factory):
    """A gallery of a test set."""
    folder = tmp_path_factory.mktemp("galleries") / "site"
    Gallery.build(FeatureExtractor(model), [str(datasets / "RenderedStation")]).save(folder)
    return folder


@pytest.fixture(scope="module")
def queries(datasets):
    return sorted((datasets / "RenderedStation" / "query").iterdir())[:4]


def found_by(fastreid_here, site, *words):
    done = fastreid_here("search", "--gallery", site, "--json", *words)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def expected_rows(site, query, top, camera=None):
    """The best rows by plain matrix products, without the query itself."""
    gallery = Gallery.load(site)
    (feature,) = FeatureExtractor(gallery.model)([query])
    scores = gallery.features() @ feature
    allowed = [
        row
        for row, record in enumerate(gallery.records)
        if record.path != str(query) and (camera is None or record.camera != camera)
    ]
    return sorted(allowed, key=lambda row: -scores[row])[:top], scores, gallery.records


def test_matches_are_the_nearest_without_the_query_itself(fastreid_here, site, queries):
    for found, query in zip(found_by(fastreid_here, site, *queries, "--top", 6), queries):
        rows, scores, records = expected_rows(site, query, 6)
        assert found["query"]["path"] == str(query) and found["threshold"] is None
        assert [match["score"] for match in found["matches"]] == pytest.approx(scores[rows].tolist(), abs=1e-5)
        assert [match["path"] for match in found["matches"]] == [records[row].path for row in rows]
        assert [match["rank"] for match in found["matches"]] == list(range(1, 7))
        assert {match["verdict"] for match in found["matches"]} == {None}


def test_the_querys_camera_can_be_left_out(fastreid_here, site, queries, tmp_path):
    for found, query in zip(found_by(fastreid_here, site, *queries, "--top", 6, "--exclude-same-camera"), queries):
        camera = str(int(re.search(r"_c(\d+)", query.name).group(1)))
        rows, _, records = expected_rows(site, query, 6, camera)
        assert found["query"]["camera"] == camera
        assert [match["path"] for match in found["matches"]] == [records[row].path for row in rows]
    shutil.copy(queries[0], tmp_path / "own.jpg")
    done = fastreid_here("search", "--gallery", site, tmp_path / "own.jpg", "--exclude-same-camera")
    assert "own.jpg is unknown; give it in a table" in one_line(done)


def test_reranking_orders_the_best_matches_by_their_neighbours(fastreid_here, site, queries):
    (found,) = found_by(fastreid_here, site, queries[0], "--top", 9, "--rerank")
    rows, scores, records = expected_rows(site, queries[0], CANDIDATES)
    gallery = Gallery.load(site)
    query = torch.from_numpy(FeatureExtractor(gallery.model)([queries[0]]))
    (distances,) = jaccard(query, torch.from_numpy(gallery.features()[rows]))(slice(None))
    best = [rows[place] for place in np.argsort(distances, kind="stable")[:9]]
    assert [match["path"] for match in found["matches"]] == [records[row].path for row in best]
    assert [match["score"] for match in found["matches"]] == pytest.approx(scores[best].tolist(), abs=1e-5)


@pytest.fixture
def threshold(model, site, queries):
    """A threshold between the third and the fourth match of the first query."""
    rows, scores, _ = expected_rows(site, queries[0], 4)
    score = float(scores[rows[2:4]].mean())
    rate, digest = Rate(0.01, 0.005, 0.02), FeatureExtractor(model).description.model
    save_threshold(model, Threshold(digest, "cosine", score, 0.01, rate, rate, 1000, 100, 60, 6, "drawn people"))
    yield score
    (model / "threshold.json").unlink()


def test_matches_below_the_threshold_are_unknown(fastreid_here, site, queries, threshold):
    (found,) = found_by(fastreid_here, site, queries[0], "--top", 6)
    assert found["threshold"] == pytest.approx(threshold)
    assert [match["verdict"] for match in found["matches"]] == ["same"] * 3 + ["unknown"] * 3
    done = fastreid_here("search", "--gallery", site, queries[0], "--top", 6)
    assert done.stdout.count(" same  ") == done.stdout.count(" unknown  ") == 3
    assert f"Matches of {threshold:.3f} or above are called the same person" in done.stdout
    assert "On drawn people, 1 % of the pairs of different people reach this score" in done.stdout


def test_a_pair_is_judged_by_the_threshold_for_its_cameras(fastreid_here, model, site, queries, threshold):
    (common,) = read_thresholds(model).values()
    within, across = (
        CameraThreshold(1000, 0, 0.02, 0.0, score, common.false_accept) for score in (threshold + 9, threshold - 9)
    )
    save_threshold(model, common._replace(within=within, across=across))
    (found,) = found_by(fastreid_here, site, queries[0], "--top", 30)
    verdicts = {match["camera"] == found["query"]["camera"]: match["verdict"] for match in found["matches"]}
    assert verdicts == {True: "unknown", False: "same"}
    assert found["thresholds_of_cameras"] == {"within": within.score, "across": across.score}
    done = fastreid_here("search", "--gallery", site, queries[0])
    assert f"({within.score:.3f} within the query's camera, {across.score:.3f} across cameras" in done.stdout


def test_without_a_threshold_it_says_how_to_find_one(fastreid_here, site, queries):
    done = fastreid_here("search", "--gallery", site, queries[0])
    assert "fastreid calibrate" in done.stdout and " same  " not in done.stdout


def test_a_threshold_that_does_not_fit_is_reported_and_the_search_continues(
    fastreid_here, model, site, queries, threshold
):
    text = (model / "threshold.json").read_text()
    for other, message in [
        ("{", "threshold.json is damaged"),
        (text.replace(FeatureExtractor(model).description.model, "f" * 64), "is for model ffffffffffffffff"),
    ]:
        (model / "threshold.json").write_text(other)
        done = fastreid_here("search", "--gallery", site, queries[0], "--json")
        (found,) = map(json.loads, done.stdout.splitlines())
        assert found["threshold"] is None and len(found["matches"]) == 10
        (said,) = [line for line in done.stderr.splitlines() if "threshold.json" in line]
        assert message in said and "calibrate" in said


def test_with_json_stdout_has_nothing_else(fastreid_here, site, queries, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    words = [tmp_path / "text.jpg", queries[0], "--skip-unreadable", "--exclude-same-camera"]
    table = tmp_path / "t.csv"
    table.write_text(f"path,camera\ntext.jpg,1\n{queries[0]},lobby\n")
    done = fastreid_here("search", "--gallery", site, table, *words[2:], "--json")
    (found,) = map(json.loads, done.stdout.splitlines())
    assert found["query"]["camera"] == "lobby"
    assert "text.jpg" in done.stderr and "the gallery has no images of camera lobby, only of 1, 2" in done.stderr
    assert "1 of 2 queries were left out" in fastreid_here("search", "--gallery", site, *words[:3]).stdout
    assert "none of the 1 images can be read" in one_line(
        fastreid_here("search", "--gallery", site, words[0], words[2])
    )


def test_spellings_of_a_camera_are_one_camera(fastreid_here, model, queries, tmp_path):
    for camera in "01", " 1 ", "1.0", "":
        (tmp_path / "t.csv").write_text(f"path,camera\n{queries[1]},{camera}\n")
        site = tmp_path / f"site{camera}"
        assert fastreid_here("index", "--model", model, "--gallery", site, tmp_path / "t.csv").returncode == 0
        (tmp_path / "q.csv").write_text(f"path,camera\n{queries[0]},001\n")
        words = ["--gallery", site, tmp_path / "q.csv", "--exclude-same-camera", "--json"]
        done = fastreid_here("search", *words)
        found = json.loads(done.stdout)
        assert found["query"]["camera"] == "1" and len(found["matches"]) == (camera == "")
        unknown = "--exclude-same-camera: 1 of 1 gallery images have no known camera and are never left out"
        assert (unknown in done.stderr) == (camera == "")


def test_a_camera_is_left_out_in_any_spelling_and_an_unknown_one_is_reported(fastreid_here, model, queries, tmp_path):
    (tmp_path / "t.csv").write_text(f"path,camera\n{queries[1]},cam-1\n{queries[2]},1\n{queries[3]},2\n")
    assert fastreid_here("index", "--model", model, "--gallery", tmp_path, tmp_path / "t.csv").returncode == 0
    for camera, left in ("c01", 1), ("gate", 3):
        (tmp_path / "q.csv").write_text(f"path,camera\n{queries[0]},{camera}\n")
        words = [tmp_path / "q.csv", "--exclude-same-camera", "--html", tmp_path / "found.html"]
        (found,) = found_by(fastreid_here, tmp_path, *words)
        assert len(found["matches"]) == left
        said = "the gallery has no images of camera gate"
        assert (said in (tmp_path / "found.html").read_text()) == (camera == "gate")


def test_a_page_is_written_even_if_stdout_is_closed(site, queries, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    words = ["search", "--gallery", site, queries[0], "--html", tmp_path / "found.html"]
    stdout = open(writer, "w", buffering=1)  # noqa: SIM115  closing it raises BrokenPipeError too
    with contextlib.suppress(BrokenPipeError), stdout, contextlib.redirect_stdout(stdout), undisturbed():
        cli.main(list(map(str, words)))
    assert "data:image/webp" in (tmp_path / "found.html").read_text()


def test_a_page_replaces_nothing_but_another_page(fastreid_here, site, queries, tmp_path):
    photograph, page = tmp_path / "1.jpg", tmp_path / "found.html"
    shutil.copy(queries[0], photograph)
    line = one_line(fastreid_here("search", "--gallery", site, "--html", photograph, queries[1]))
    assert f"--html {photograph} already exists and is not an HTML page" in line
    assert photograph.read_bytes() == queries[0].read_bytes()
    for query in queries[:2]:
        assert fastreid_here("search", "--gallery", site, query, "--html", page).returncode == 0
        assert query.name in page.read_text()


def test_the_page_shows_every_query_with_its_matches(fastreid_here, site, queries, threshold, tmp_path):
    copied = tmp_path / "<query> & 'more'.jpg"
    shutil.copy(queries[1], copied)
    words = ["--top", 3, "--html", tmp_path / "found.html"]
    done = fastreid_here("search", "--gallery", site, queries[0], copied, *words)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "found.html").read_text()
    assert page.count('<figure class="query"') == 2 and page.count('role="img"') == 8
    assert page.count('<figure class="same"') >= 3 and "<query>" not in page
    assert not re.search(r"https?://|@import|<script|url\((?!data:)", page)


def test_a_page_names_pictures_that_are_gone(fastreid_here, model, datasets, tmp_path):
    for name in "a.jpg", "b.jpg", "c.jpg":
        shutil.copy(sorted((datasets / "RenderedMall" / "query").iterdir())["abc".index(name[0])], tmp_path / name)
    site = tmp_path / "site"
    assert fastreid_here("index", "--model", model, tmp_path, "--gallery", site).returncode == 0
    (tmp_path / "b.jpg").unlink()
    done = fastreid_here("search", "--gallery", site, tmp_path / "a.jpg", "--html", tmp_path / "found.html")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "found.html").read_text()
    assert page.count('class="missing"') == 1 and page.count('role="img"') == page.count("url(data:") == 2


def test_mistakes_are_one_line(fastreid_here, model, site, queries, tmp_path, exported):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    for words, message in [
        ([queries[0], "--top", 0], "--top: must be a whole number, 1 or more; got '0'"),
        ([tmp_path / "broken.jpg"], "cannot read image"),
        ([queries[0], "--model", tmp_path], "neither a run nor an export"),
    ]:
        assert message in one_line(fastreid_here("search", "--gallery", site, *words))
    done = fastreid_here("search", "--gallery", tmp_path / "none", queries[0])
    assert "none is not a gallery" in one_line(done)
    # An export of the model counts as the same model.
    assert len(found_by(fastreid_here, site, queries[0], "--model", exported / "model.onnx")[0]["matches"]) == 10
