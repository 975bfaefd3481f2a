"""``fastreid group`` writes a table of identities that the other commands read, and a page to look at."""

import csv
import itertools
import shutil
from collections import Counter

import numpy as np
import pytest
from fastreid.config import get_cfg

from fastreid_gdnorm import FeatureExtractor
from fastreid_gdnorm.data import read
from fastreid_gdnorm.image_tables import read_table
from fastreid_gdnorm.inference.thresholds import read_threshold
from fastreid_gdnorm.report import group_page

from ..runs.toy import one_line


@pytest.fixture(scope="module")
def model(toy_run, tmp_path_factory):
    """A copy of the toy run, so that tests can add a threshold."""
    folder = tmp_path_factory.mktemp("calibrated") / "model"
    shutil.copytree(toy_run, folder)
    return folder


@pytest.fixture
def crops(datasets, tmp_path):
    """A folder with 24 crops of 6 people, in tracks of two images, listed with semicolons; and an image beside them.

    In each of two cameras, people 1 and 2 are seen at one time, 3 and 4, and 5 and 6.
    """
    folder = tmp_path / "shop"
    (folder / "images").mkdir(parents=True)
    with open(folder / "crops.csv", "w", newline="") as file:
        table = csv.writer(file, delimiter=";")
        table.writerow(["camera", "track", "path", "time", "identity"])
        for place, image in enumerate(sorted((datasets / "RenderedStation" / "bounding_box_train").iterdir())):
            shutil.copy(image, folder / "images" / f"{place}.jpg")
            person, camera, time = place // 4 + 1, f"door {place % 4 // 2}", 10 * (place // 8) + place % 2
            table.writerow([camera, f"t{person}", f"images/{place}.jpg", time, f"person {person}"])
    shutil.copy(image, folder / "another.jpg")
    return folder


def rows_of(table, separator=","):
    with open(table, newline="") as file:
        return [*csv.DictReader(file, delimiter=separator)]


def test_identities_follow_the_thresholds_and_keep_overlapping_tracks_apart(
    fastreid_here, model, crops, datasets, tmp_path
):
    done = fastreid_here("calibrate", "--model", model, datasets / "RenderedStation" / "query", "--false-accept", 0.5)
    assert done.returncode == 0, done.stderr
    output = tmp_path / "out" / "identities.csv"
    done = fastreid_here("group", "--model", model, crops / "crops.csv", crops / "another.jpg", "--output", output)
    assert done.returncode == 0, done.stderr

    found, lines = read_table(str(output)), rows_of(output)
    given = [*rows_of(crops / "crops.csv", ";"), dict.fromkeys(("camera", "time", "track"), "")]
    assert [*lines[0]] == ["path", "camera", "time", "identity", "track"]
    assert [{name: line[name] for name in ("camera", "time", "track")} for line in lines] == [
        {name: line[name] for name in ("camera", "time", "track")} for line in given
    ]
    places = [f"images/{place}.jpg" for place in range(24)] + ["another.jpg"]
    assert all((output.parent / line["path"]).samefile(crops / place) for line, place in zip(lines, places))

    extractor = FeatureExtractor(model)
    threshold = read_threshold(model, extractor.description)
    tracks = {}
    for row, feature in zip(found, extractor([row.path for row in found])):
        tracks.setdefault((row.camera, row.track), []).append((row, feature))
    assert len(tracks) == 13 and all(len({row.identity for row, _ in images}) == 1 for images in tracks.values())
    for one, other in itertools.combinations(tracks.values(), 2):
        (first, _), (second, _) = one[0], other[0]
        if first.identity == second.identity:
            a, b = (np.mean([feature for _, feature in images], axis=0) for images in (one, other))
            score = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            assert score >= threshold.score_for(first.camera, second.camera) - 1e-5
            assert first.camera != second.camera or first.time != second.time
    identities = len({row.identity for row in found})
    assert len({item[1] for item in read(get_cfg(), str(output)).train}) == identities, "what training takes"
    assert f"25 images in 13 tracks, {identities} identities" in done.stdout
    assert "6 pairs of tracks overlap in time and were kept apart" in done.stdout
    assert "24 images came with an identity" in done.stdout


def test_the_page_shows_some_images_of_the_largest_identities(fastreid_here, model, crops, tmp_path, monkeypatch):
    monkeypatch.setattr(group_page, "MOST_IDENTITIES", 2)
    monkeypatch.setattr(group_page, "MOST_IMAGES", 3)
    words = ["group", "--model", model, crops / "crops.csv", "--score=-1", "--html", tmp_path / "page.html"]
    done = fastreid_here(*words, "--output", crops / "identities.csv")
    assert done.returncode == 0, done.stderr
    counts = Counter(row["identity"] for row in rows_of(crops / "identities.csv"))
    largest = sorted(counts.values(), reverse=True)
    page = (tmp_path / "page.html").read_text()
    assert page.count('role="img"') == sum(min(3, size) for size in largest[:2])
    assert f"the 2 largest of {len(largest)} identities" in page
    assert f": {largest[0]} images, cameras door 0" in page and ", 3 of them shown" in page
    assert rows_of(crops / "identities.csv")[0]["path"] == "images/0.jpg", "relative to the table"


def test_mistakes_are_found_before_any_feature(fastreid_here, model, crops, tmp_path):
    def line(*words, output=tmp_path / "identities.csv", score=("--score", 0.5)):
        said = one_line(fastreid_here("group", "--model", model, *score, *words, "--output", output))
        assert not [*tmp_path.glob("*.journal")]
        return said

    table = crops / "crops.csv"
    assert "must end in .csv" in line(table, output=tmp_path / "identities.txt")
    assert "crops.csv already exists: remove it" in line(table, output=table)
    assert "another.jpg already exists and is not an HTML page" in line(table, "--html", crops / "another.jpg")
    (model / "threshold.json").unlink(missing_ok=True)
    assert "has no threshold for the same person: run fastreid calibrate" in line(table, score=())
    (crops / "times.csv").write_text("path,camera,track,time\nanother.jpg,1,a,noon\n")
    said = line(crops / "times.csv")
    assert "times.csv, line 2: time 'noon' is neither a number nor an ISO time" in said


def test_images_without_cameras_tracks_or_threshold_are_grouped_by_a_score(fastreid_here, model, crops, tmp_path):
    (crops / "images" / "broken.jpg").write_text("no picture")
    words = ["group", "--model", model, crops / "images", "--score", 0.99999, "--output"]
    assert "broken.jpg" in one_line(fastreid_here(*words, tmp_path / "a.csv")) and not (tmp_path / "a.csv").exists()
    done = fastreid_here(*words, tmp_path / "b.csv", "--skip-unreadable")
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "b.csv")
    assert list(rows[0]) == ["path", "identity"] and len(rows) == 24
    assert (
        "24 images, " in done.stdout and "1 of 25 images were left out" in done.stdout and "tracks" not in done.stdout
    )


def test_tracks_of_two_domains_are_two_tracks(fastreid_here, model, crops, tmp_path):
    rows = [f"{place}.jpg,1,t1,{'mall' if place < 2 else 'shop'}" for place in range(4)]
    (crops / "images" / "domains.csv").write_text("\n".join(["path,camera,track,domain", *rows]))
    words = ["group", "--model", model, crops / "images" / "domains.csv", "--score", 2]
    done = fastreid_here(*words, "--output", tmp_path / "identities.csv")
    assert done.returncode == 0, done.stderr
    assert "4 images in 2 tracks, 2 identities" in done.stdout
