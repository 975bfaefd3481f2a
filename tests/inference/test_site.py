"""``fastreid adapt --by features``, and sites in eval, index, search, calibrate, extract and the extractor."""

import itertools
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from fastreid.engine import DefaultTrainer
from fastreid.evaluation import inference_on_dataset

from fastreid_gdnorm import CameraOffsets, FeatureExtractor, Gallery
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.evaluation.camera_offset_hook import following_offsets
from fastreid_gdnorm.image_names import camera_of
from fastreid_gdnorm.inference import unlabelled
from fastreid_gdnorm.inference.records import find_images
from fastreid_gdnorm.inference.site import open_site
from fastreid_gdnorm.inference.thresholds import read_thresholds
from fastreid_gdnorm.inference.unlabelled import draw
from fastreid_gdnorm.runs.run_checkpoints import load_model
from fastreid_gdnorm.runs.run_config import load_config

from ..conftest import DEMO, REPOSITORY, TINY
from ..runs.toy import one_line
from .test_camera_offsets import follow, naive

WITHOUT_TORCH = """
import sys
from importlib.machinery import PathFinder

find, hidden = PathFinder.find_spec, {"torch", "torchvision", "fastreid"}
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in hidden else find(name, *rest)

from fastreid_gdnorm import cli

status = cli.main(sys.argv[1:])
sys.exit(f"{hidden & set(sys.modules)} are loaded" if hidden & set(sys.modules) else status)
"""


@pytest.fixture(scope="module")
def crops(datasets):
    """The 24 image files of a site with four cameras."""
    return sorted((datasets / "RenderedNight" / "bounding_box_train").glob("*.jpg"))


@pytest.fixture(scope="module")
def queries(datasets):
    return sorted((datasets / "RenderedNight" / "query").glob("*.jpg"))


@pytest.fixture(scope="module")
def run(toy_run, tmp_path_factory):
    """A copy of the toy run, so that tests can add files to its folder."""
    return shutil.copytree(toy_run, tmp_path_factory.mktemp("sites") / "run")


@pytest.fixture(scope="module")
def site(run, crops, tmp_path_factory):
    """The folder and the output of an adaptation by features."""
    from ..conftest import fastreid

    folder = tmp_path_factory.mktemp("site") / "night"
    done = fastreid("adapt", "--by=features", "--model", run, crops[0].parent, "--output", folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def cameras_of(files):
    return [camera_of(str(file)) for file in files]


def expected_at(extractor, crops, files, cameras=None):
    """Features of ``files`` less the offsets learned from ``crops``, by naive loops."""
    learned = naive(extractor(crops).astype(float), cameras_of(crops))
    return follow(extractor(files).astype(float), cameras_of(files) if cameras is None else cameras, learned)


def without_torch(*words):
    """Run ``fastreid`` in a process that can import neither torch nor fast-reid."""
    words = [sys.executable, "-c", WITHOUT_TORCH, *map(str, words)]
    return subprocess.run(words, capture_output=True, text=True, cwd=REPOSITORY, timeout=120)


def test_a_runs_features_follow_the_site(run, site, crops, queries):
    folder, said = site
    plain, at_site = FeatureExtractor(run), FeatureExtractor(run, site=folder)
    expected = expected_at(plain, crops, queries)
    assert np.abs(at_site(queries, cameras=cameras_of(queries)) - expected).max() < 1e-5
    assert np.abs(plain(queries) - expected).max() > 1e-2
    unknown = ["", "9", *cameras_of(queries[2:])]
    expected = expected_at(plain, crops, queries, ["", "9", *unknown[2:]])
    assert np.abs(at_site(queries, cameras=unknown) - expected).max() < 1e-5
    missing = at_site(["none.jpg", *queries], unreadable="skip", cameras=["1", *unknown])
    assert np.abs(missing - expected).max() < 1e-5
    assert at_site.description.model != plain.description.model
    offsets = open_site(folder).offsets
    assert FeatureExtractor(run, site=offsets).description == at_site.description
    summary = json.loads((folder / "adapt.json").read_text())["offsets"]
    assert summary["n"] == 24 and summary["model"] == plain.description.model
    weights = offsets.estimate.weights
    for number, weight in enumerate(weights, 1):
        assert summary["cameras"][str(number)] == {"n": 6, "weight": weight}
        assert f"camera {number}: 6 images, weight {weight:.2f} of 1" in said
    assert said.endswith(f"use it with --site {folder}\n")


def test_of_cameras_with_many_images_a_sample_is_taken(run, crops, tmp_path, fastreid_here, monkeypatch):
    monkeypatch.setattr(unlabelled, "MOST_IMAGES", 4)
    two = [file for file in crops if "_c1" in file.name] + [file for file in crops if "_c2" in file.name][:3]
    done = fastreid_here("adapt", "--by=features", "--model", run, *two, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 images of each camera with more are drawn at random: of cameras 1 (6)\n" in done.stdout
    used = [record.path for record in draw(find_images(map(str, two[:6])))] + two[6:]
    expected = CameraOffsets.from_features(FeatureExtractor(run)(used), cameras_of(used)).estimate
    assert open_site(tmp_path).offsets.estimate.images.tolist() == [4, 3]
    assert np.abs(open_site(tmp_path).offsets.estimate.offsets - expected.offsets).max() < 1e-6


def test_eval_ranks_the_features_of_the_site(run, site, datasets, tmp_path, fastreid_here):
    folder, _ = site
    night = ["DATASETS.TESTS", "('RenderedNight',)"]
    cfg = load_config(run / "config.yaml", [*night, "OUTPUT_DIR", str(run)])
    loader, evaluator = DefaultTrainer.build_evaluator(cfg, "RenderedNight")
    model = load_model(cfg)
    with following_offsets(model, open_site(folder).offsets, "the run"):
        inference_on_dataset(model, loader, evaluator, flip_test=False)
    ranked = torch.cat([part["feats"] for part in evaluator._predictions]).numpy()
    files = [item[0] for item in loader.dataset.img_items]
    assert np.abs(ranked - FeatureExtractor(run, site=folder)(files, cameras=cameras_of(files))).max() < 1e-5

    done = fastreid_here("eval", "--config-file", run / "config.yaml", "--site", folder, *night)
    assert done.returncode == 0, done.stderr
    assert f"RenderedNight: {len(files)} of {len(files)} images follow their own camera at the site" in done.stdout
    results = json.loads((run / "eval-site-night" / "test_results.json").read_text())["RenderedNight"]
    assert results["adapted to (%)"] == 0
    own = ["adapt", "--by=features", "--model", run, datasets / "RenderedNight" / "query", "--output", tmp_path / "own"]
    assert fastreid_here(*own).returncode == 0
    words = ["eval", "--config-file", run / "config.yaml", "--output", tmp_path / "o", "--site", tmp_path / "own"]
    assert "RenderedNight: transductive" in fastreid_here(*words, *night).stdout


def test_a_gallery_remembers_its_site(run, site, crops, queries, datasets, tmp_path, fastreid_here):
    folder, test = shutil.copytree(site[0], tmp_path / "night"), datasets / "RenderedNight" / "bounding_box_test"
    gallery = ["--gallery", tmp_path / "gallery"]
    done = fastreid_here("index", "--model", run, "--site", folder, test, *gallery)
    assert done.returncode == 0, done.stderr
    assert "images follow their own camera at the site" in done.stdout
    expected = FeatureExtractor(run, site=folder)
    records = Gallery.load(tmp_path / "gallery").records
    features = expected([record.path for record in records], cameras=[record.camera for record in records])
    assert np.abs(Gallery.load(tmp_path / "gallery").features() - features).max() < 1e-5

    def search(*words):
        done = fastreid_here("search", *gallery, queries[0], "--json", *words)
        assert done.returncode == 0, done.stderr
        return done.stderr, [match["path"] for match in json.loads(done.stdout)["matches"]]

    best = np.argsort(-features @ expected(queries[:1], cameras=cameras_of(queries[:1]))[0], kind="stable")
    rows = [records[row].path for row in best[:10] if records[row].path != str(queries[0])]
    assert search()[1] == search("--site", folder)[1] == search("--model", run)[1] == rows
    # Features of another site are refused. The gallery's own copy of the offsets outlives the folder.
    again = ["adapt", "--by=features", "--model", run, *crops[:12], "--output", folder]
    assert fastreid_here(*again).returncode == 0
    said, found = search()
    assert found == rows and f"site {folder} has changed since" in said
    for words in (
        ["search", *gallery, queries[0], "--site", folder],
        ["index", *gallery, test, "--site", folder],
    ):
        assert "or another path or site, so their features cannot be compared" in one_line(fastreid_here(*words))
    shutil.rmtree(folder)
    assert search()[1] == rows
    assert "0 images added, 0 updated" in fastreid_here("index", *gallery, test).stdout
    assert str(folder) in fastreid_here("index", *gallery, "--list").stdout
    done = fastreid_here("search", *gallery, queries[0])
    assert f"images at site {folder}." in done.stdout


def test_each_site_has_its_own_threshold(run, site, tmp_path, fastreid_here):
    words = ["calibrate", "--model", run, "RenderedNight", "--false-accept", "0.05", "--output", tmp_path]
    assert fastreid_here(*words).returncode == 0
    done = fastreid_here(*words, "--site", site[0])
    assert done.returncode == 0, done.stderr
    assert "images follow their own camera at the site" in done.stdout
    plain, at_site = FeatureExtractor(run), FeatureExtractor(run, site=site[0])
    found = read_thresholds(tmp_path)
    assert list(found) == [plain.description.model, at_site.description.model]
    assert len({threshold.score for threshold in found.values()}) == 2


def test_an_onnx_file_follows_a_site_without_torch(exported, run, crops, queries, tmp_path):
    model = tmp_path / "model.onnx"
    shutil.copy(exported / "model.onnx", model)
    done = without_torch("adapt", "--model", model, crops[0].parent, "--output", tmp_path / "site")
    assert done.returncode == 0, done.stderr
    features = tmp_path / "features.npz"
    done = without_torch(
        "extract", "--model", model, "--site", tmp_path / "site", queries[0].parent, "--output", features
    )
    assert done.returncode == 0, done.stderr
    expected = expected_at(FeatureExtractor(run), crops, queries)
    with np.load(features) as stored:
        assert np.abs(stored["features"] - expected).max() < 1e-4
    # An export is the same model as its run, so both can follow the site.
    found = FeatureExtractor(run, site=tmp_path / "site")(queries, cameras=cameras_of(queries))
    assert np.abs(found - expected).max() < 1e-4
    line = without_torch("adapt", "--model", model, "RenderedNight", "--output", tmp_path / "o")
    assert "RenderedNight is not a file or folder" in one_line(line)


def test_a_stock_checkpoint_follows_a_site_without_its_sources(
    exported, crops, queries, tmp_path, fastreid_here, monkeypatch
):
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "none"))
    stock = tmp_path / "stock"
    stock.mkdir()
    shutil.copy(exported / "model.pth", stock)
    (stock / "config.yaml").write_text(load_config(f"{DEMO}/baseline.yml", TINY).dump())
    done = fastreid_here("adapt", "--model", stock, "--images", *crops, "--output", tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert "adapting by features, because this model has no branches" in done.stdout
    expected = expected_at(FeatureExtractor(stock), crops, queries)
    found = FeatureExtractor(stock, site=tmp_path / "site")(queries, cameras=cameras_of(queries))
    assert np.abs(found - expected).max() < 1e-5


def test_by_default_a_run_with_branches_gets_a_path_for_each_camera(run, crops, tmp_path, fastreid_here):
    done = fastreid_here("adapt", "--model", run, *crops, "--output", tmp_path)
    assert done.returncode == 0 and "adapting by norms, because this run has branches" in done.stdout
    summary = json.loads((tmp_path / "adapt.json").read_text())
    assert sorted(summary["cameras"]) == ["1", "2", "3", "4"] and "offsets" not in summary


def test_adapting_by_both_learns_offsets_along_each_cameras_path(run, crops, queries, tmp_path, fastreid_here):
    folder = tmp_path / "both"
    done = fastreid_here("adapt", "--by", "both", "--model", run, *crops, "--output", folder)
    assert done.returncode == 0, done.stderr
    along = FeatureExtractor(run, path=f"posterior:{folder}")
    learned = naive(along(crops, cameras=cameras_of(crops)).astype(float), cameras_of(crops))
    expected = follow(along(queries, cameras=cameras_of(queries)).astype(float), cameras_of(queries), learned)
    found = FeatureExtractor(run, site=folder)(queries, cameras=cameras_of(queries))
    assert np.abs(found - expected).max() < 1e-5
    gallery = tmp_path / "gallery"
    assert fastreid_here("index", "--model", run, "--site", folder, *queries, "--gallery", gallery).returncode == 0
    order = [queries.index(type(queries[0])(record.path)) for record in Gallery.load(gallery).records]
    assert np.abs(Gallery.load(gallery).features() - expected[order]).max() < 1e-5
    assert fastreid_here("search", "--gallery", gallery, queries[0]).returncode == 0
    moved = shutil.move(folder, tmp_path / "moved")
    assert fastreid_here("search", "--gallery", gallery, queries[0], "--site", moved).returncode == 0
    words = ["eval", "--config-file", run / "config.yaml", "--site", moved, "--output", tmp_path / "o"]
    done = fastreid_here(*words, "DATASETS.TESTS", "('RenderedNight',)")
    assert done.returncode == 0 and done.stdout.count("images follow their own camera at the site") == 1
    words = ["export", "--config-file", run / "config.yaml", "--path", f"posterior:{moved}", "--output", tmp_path / "e"]
    assert "an export cannot hold the camera offsets" in fastreid_here(*words).stdout
    again = fastreid_here("adapt", "--by=features", "--model", run, *crops, "--output", moved)  # by features alone
    assert again.returncode == 0 and {file.name for file in moved.iterdir()} == {"adapt.json", "offsets.npz"}


def test_lone_images_lone_cameras_and_unknown_cameras_are_reported(run, crops, tmp_path, fastreid_here):
    def adapt(rows):
        (tmp_path / "table.csv").write_text("\n".join(["path,camera", *(f"{file},{camera}" for file, camera in rows)]))
        done = fastreid_here(
            "adapt", "--by=features", "--model", run, tmp_path / "table.csv", "--output", tmp_path / "site"
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, open_site(tmp_path / "site").offsets.estimate

    plain = FeatureExtractor(run)
    features = dict(zip(crops, plain(crops)))
    said, found = adapt([*((file, "a") for file in crops[:4]), (crops[4], "b"), (crops[5], ""), (crops[6], "")])
    assert found.names == ["a", "b"] and found.images.tolist() == [4, 1]
    assert "cameras with fewer than 4 images, too few for a useful offset: b; give" in said
    assert f"2 images with unknown camera are left out, such as {crops[5]}: name images like" in said

    said, found = adapt([(file, "only") for file in crops[:5]])
    mean = np.mean([features[file] for file in crops[:5]], axis=0)
    assert np.allclose(found.offsets, mean, atol=1e-6) and found.weights.tolist() == [0]
    assert "there is only one camera: subtracting its mean removes" in said

    said, found = adapt([(file, camera) for file, camera in zip(crops, "abc")])
    assert found.weights.tolist() == [0, 0, 0]
    assert np.allclose(found.offsets, np.mean([features[file] for file in crops[:3]], axis=0), atol=1e-6)
    assert "show no difference between cameras beyond chance" in said


def test_copies_under_two_cameras_and_similar_camera_names_are_reported(run, crops, tmp_path, fastreid_here):
    copies = [shutil.copy(file, tmp_path / f"copy{place}.jpg") for place, file in enumerate(crops[:3])]
    rows = itertools.chain(
        zip(crops[:8], ["1"] * 4 + ["cam-1"] * 4), zip(copies, ["2", "2", "01"]), zip(crops[8:12], ["gate"] * 4)
    )
    (tmp_path / "table.csv").write_text("\n".join(["path,camera", *(f"{file},{camera}" for file, camera in rows)]))
    done = fastreid_here(
        "adapt", "--by=features", "--model", run, tmp_path / "table.csv", "--output", tmp_path / "site"
    )
    assert done.returncode == 0, done.stderr
    assert "3 images are copies of others and count once" in done.stdout
    assert "2 images are given under two cameras (1 and 2) and count only for the first" in done.stdout
    assert "cameras with only such copies, whose images will follow the site as a whole: 2" in done.stdout
    assert "cameras 1 and cam-1 may be one camera" in done.stdout
    assert open_site(tmp_path / "site").offsets.estimate.names == ["1", "cam-1", "gate"]


def test_mistakes_about_sites_are_one_line(run, exported, site, crops, queries, tmp_path, fastreid_here):
    folder = site[0]
    nameless = shutil.copy(crops[0], tmp_path / "nameless.jpg")
    words = {
        "adapt": ["adapt", "--by=features", "--model", run, "--output", tmp_path / "o"],
        "extract": ["extract", "--model", run, queries[0], "--output", tmp_path / "f.npz"],
        "eval": ["eval", "--config-file", run / "config.yaml"],
        "search": ["search", "--gallery", tmp_path / "gallery", queries[0]],
    }
    for command, more, message in [
        ("adapt", [], "no images: name files, folders or tables"),
        ("adapt", [nameless], "none of the 1 images has a known camera"),
        ("adapt", [crops[0]], "at least two images with a known camera, .*; got 1"),
        ("adapt", [*crops, "--prior-only-layers", "x"], "add --by norms"),
        ("extract", ["--path", "source:1", "--site", folder], "but this is model .* or another path through it"),
        ("extract", ["--site", tmp_path], "is not a folder of fastreid adapt"),
        (
            "eval",
            ["--site", folder, "MODEL.GDNORM.TEST_PATH", "source:1"],
            f"site {folder}: its offsets were learned with model",
        ),
        ("eval", ["--path", f"posterior:{folder}"], f"no posterior path: use --site {folder}"),
    ]:
        line = one_line(fastreid_here(*words[command], *more))
        assert re.search(message, line), line
    assert not (tmp_path / "o").exists() or not list((tmp_path / "o").iterdir())
    norms = ["adapt", "--by", "norms", "--model", run, *crops, "--output", tmp_path / "norms"]
    assert fastreid_here(*norms).returncode == 0
    with pytest.raises(UserError, match="is an export, which has only its own path: for posterior:"):
        FeatureExtractor(exported, site=tmp_path / "norms")
    with pytest.raises(UserError, match="--path mean: site .* has its own posterior paths; leave out --path"):
        FeatureExtractor(run, path="mean", site=tmp_path / "norms")
    summary = json.loads((tmp_path / "norms" / "adapt.json").read_text())
    del summary["files"]  # as an earlier version wrote it
    (tmp_path / "norms" / "adapt.json").write_text(json.dumps(summary))
    assert FeatureExtractor(run, site=tmp_path / "norms").path == f"posterior:{tmp_path / 'norms'}"
    again = ["adapt", "--by=features", "--model", run, *crops, "--output", tmp_path / "norms"]
    assert fastreid_here(*again).returncode == 0
    assert {file.name for file in (tmp_path / "norms").iterdir()} == {"adapt.json", "offsets.npz"}
    (tmp_path / "o").mkdir(exist_ok=True)
    (tmp_path / "o" / "offsets.npz").write_text("mine")
    line = one_line(fastreid_here(*words["adapt"], *crops))
    assert "offsets.npz already exists and was not written by fastreid adapt" in line
    learned = CameraOffsets.from_features(np.random.default_rng(0).normal(size=(4, 7)), list("aabb"))
    with pytest.raises(UserError, match=r"offsets take features of shape \(N, 7\)"):
        FeatureExtractor(run, site=learned)(queries[:1], cameras=["a"])
