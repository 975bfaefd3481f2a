"""Thresholds have the rates they claim, and are found on images that the model was not trained on."""

import itertools
import json
import re
import shutil

import numpy as np
import pytest
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import ImageDataset
from PIL import Image
from sklearn.metrics import roc_curve

from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.inference import thresholds
from fastreid_gdnorm.inference.description import Description, ModelInput
from fastreid_gdnorm.inference.labelled import labelled_images
from fastreid_gdnorm.inference.pairs import ACROSS, WITHIN, Pairs, lowest_score
from fastreid_gdnorm.inference.records import Record
from fastreid_gdnorm.inference.thresholds import (
    CameraThreshold,
    choose_images,
    find_threshold,
    label_pairs,
    read_threshold,
    save_threshold,
)

from ..runs.toy import one_line

COSINE, EUCLIDEAN = (Description("m" * 64, metric, 6, ModelInput((4, 2))) for metric in ("cosine", "euclidean"))


def labelled(people=12, images=5, seed=0, spread=0.7):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, 6))
    features = np.repeat(centres, images, axis=0) + spread * rng.normal(size=(people * images, 6))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    identities = [str(person) for person in range(people) for _ in range(images)]
    cameras = [str(camera % 3) if camera else "" for _ in range(people) for camera in range(images)]
    return features.astype(np.float32), identities, cameras


def scores_by_loops(features, identities, cameras, metric):
    """Scores of pairs of one person and of different people, in double."""
    same, different = [], []
    for i, j in itertools.combinations(range(len(features)), 2):
        one, other = features[i].astype(float), features[j].astype(float)
        score = sum(one * other) if metric == "cosine" else -sum((one - other) ** 2)
        if identities[i] != identities[j]:
            different.append(score)
        elif not cameras[i] or cameras[i] != cameras[j]:
            same.append(score)
    return np.array(same), np.array(different)


@pytest.mark.parametrize("description", [COSINE, EUCLIDEAN], ids=lambda one: one.metric)
@pytest.mark.parametrize("block", [7, 512])
def test_rates_equal_loops_over_all_pairs(description, block, monkeypatch):
    monkeypatch.setattr(thresholds, "BLOCK", block)
    data = labelled()
    same, different = scores_by_loops(*data, description.metric)
    found = find_threshold(label_pairs(*data, description.metric), 0.05, description, 60, "drawn")
    assert (found.same, found.different, found.identities) == (len(same), len(different), 12)
    assert found.false_accept.value == pytest.approx((different >= found.score - 1e-6).mean(), abs=1e-9)
    assert found.true_accept.value == pytest.approx((same >= found.score - 1e-6).mean(), abs=1e-9)
    assert found.false_accept.value <= 0.05
    # A threshold lower by one pair would accept too many.
    next_lower = different[different < found.score - 1e-6].max()
    assert (different >= next_lower).mean() > 0.05


def test_tied_pairs_are_all_accepted_or_all_rejected():
    features = np.float32([[1, 0], [1, 0], [0, 1], [0, 1], [0.6, 0.8], [0.6, 0.8]]).repeat(10, axis=0)
    identities = [str(number) for number in range(60)]
    identities[1:10:2] = identities[:10:2]
    pairs = label_pairs(features, identities, [""] * 60, "cosine")
    found = find_threshold(pairs, 0.35, COSINE, 60, "tied")
    accepted = (pairs.scores >= np.float32(found.score)) & ~pairs.is_same
    assert accepted.sum() / (~pairs.is_same).sum() == found.false_accept.value <= 0.35
    assert found.score > 0.8 and found.false_accept.value > 0.3


def test_the_interval_comes_from_resampling_people(monkeypatch):
    data = labelled(people=15)
    pairs = label_pairs(*data, "cosine")
    found = find_threshold(pairs, 0.05, COSINE, 75, "drawn")
    accepted = pairs.scores >= np.float32(found.score)
    rng, rates = np.random.default_rng(1), []
    for _ in range(1000):
        drawn = rng.integers(15, size=15)
        above = total = 0
        for first, second in itertools.product(drawn, drawn):
            if first != second:
                between = (pairs.first == first) & (pairs.second == second)
                above, total = above + accepted[between].sum(), total + between.sum()
        rates.append(above / total)
    assert [found.false_accept.low, found.false_accept.high] == pytest.approx(
        np.quantile(rates, (0.025, 0.975)), abs=0.01
    )
    assert found.true_accept.low < found.true_accept.value < found.true_accept.high


def test_too_little_data_is_refused():
    features, identities, cameras = labelled()
    pairs = label_pairs(features, identities, cameras, "cosine")
    for asked in 0, 1, -0.1, float("nan"):
        with pytest.raises(UserError, match="--false-accept must be between 0 and 1"):
            find_threshold(pairs, asked, COSINE, 60, "drawn")
    with pytest.raises(UserError, match=r"drawn has 1650 pairs .* rate of 0.001, which needs 10000"):
        find_threshold(pairs, 0.001, COSINE, 60, "drawn")
    one_camera = label_pairs(features, identities, ["1"] * 60, "cosine")
    with pytest.raises(UserError, match="nobody with images from two cameras"):
        find_threshold(one_camera, 0.05, COSINE, 60, "drawn")


def test_many_images_are_thinned_out_by_whole_identities(monkeypatch):
    monkeypatch.setattr(thresholds, "MAX_IMAGES", 20)
    records = [Record(f"{number}.jpg", identity=str(number % 12) if number % 5 else "") for number in range(60)]
    chosen = choose_images(records)
    assert 0 < len(chosen) <= 20
    identities = {record.identity for record in chosen}
    assert chosen == [record for record in records if record.identity in identities]


def test_a_threshold_is_saved_beside_its_model_and_belongs_to_it(tmp_path, capsys):
    data = labelled()
    found = find_threshold(label_pairs(*data, "cosine"), 0.05, COSINE, 60, "drawn")
    (tmp_path / "model.onnx").touch()
    assert read_threshold(tmp_path, COSINE) is None
    save_threshold(tmp_path, found)
    assert read_threshold(tmp_path, COSINE) == read_threshold(tmp_path / "model.onnx", COSINE) == found
    along_another_path = found._replace(model="v2-" + "n" * 64)
    save_threshold(tmp_path, along_another_path)
    assert read_threshold(tmp_path, COSINE) == found
    assert read_threshold(tmp_path, COSINE._replace(model=along_another_path.model)) == along_another_path
    assert not capsys.readouterr().out


def test_a_threshold_that_does_not_fit_is_ignored_and_a_line_says_why(tmp_path, capsys):
    def reason(description=COSINE, *others):
        assert read_threshold(tmp_path, description, *others) is None
        return capsys.readouterr().out

    assert not reason()
    found = find_threshold(label_pairs(*labelled(), "cosine"), 0.05, COSINE, 60, "drawn")
    save_threshold(tmp_path, found)
    said = reason(COSINE._replace(model="n" * 64))
    assert "threshold.json is for model mmmm" in said and "this is model nnnn" in said and said.count("\n") == 1
    (tmp_path / "gallery").mkdir()
    save_threshold(tmp_path / "gallery", found._replace(model="n" * 64))
    assert read_threshold(tmp_path, COSINE._replace(model="n" * 64), tmp_path / "gallery").score == found.score
    # the format of version 1
    one = json.loads((tmp_path / "threshold.json").read_text())["thresholds"][0]
    del one["within"], one["across"]
    (tmp_path / "threshold.json").write_text(json.dumps(one))
    assert read_threshold(tmp_path, COSINE) == found._replace(within=None, across=None)
    of_text, of_nan = (json.dumps({**one, "score": score}) for score in ("0.5", float("nan")))
    for text in "{", "[]", '{"score": 0.5}', json.dumps(one).replace('"low"', '"below"'), of_text, of_nan:
        (tmp_path / "threshold.json").write_text(text)
        assert "threshold.json is damaged" in reason()
        with pytest.raises(UserError, match="threshold.json is damaged .*: remove it and run fastreid calibrate again"):
            save_threshold(tmp_path, found)


@pytest.mark.parametrize("seed", range(4))
def test_the_score_is_the_lowest_that_scikit_learn_finds(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 40, 300).astype(np.float32) / 40 + (rng.random(300).astype(np.float32) if seed % 2 else 0)
    is_same = rng.random(300) < 0.2
    people = np.arange(300, dtype=np.int32)
    pairs = Pairs(scores, people, np.where(is_same, people, people + 1), 301, np.zeros(300, np.int8))
    false, _, candidates = roc_curve(is_same, scores, drop_intermediate=False)
    different = (~is_same).sum()
    for asked in (*rng.random(20), *(rng.integers(1, different, 20) / different), 0.29, 0.07):
        expected = candidates[false <= asked].min()
        found = lowest_score(pairs, asked)
        assert found == expected or (np.isinf(expected) and found > scores.max())


def test_pairs_within_and_across_cameras_have_their_own_scores_and_rates():
    features, identities, _ = labelled(people=12, images=6)
    cameras = [str(image % 3) for _ in range(12) for image in range(6)]
    cameras[0] = ""
    # people of one camera look alike
    features += 0.5 * np.eye(6, dtype=np.float32)[[int(camera or 0) for camera in cameras]]
    pairs = label_pairs(features, identities, cameras, "cosine")
    found = find_threshold(pairs, 0.05, COSINE, 72, "drawn")
    for kind, one in (WITHIN, found.within), (ACROSS, found.across):
        same, different = [], []
        for i, j in itertools.combinations(range(72), 2):
            if cameras[i] and cameras[j] and (cameras[i] == cameras[j]) == (kind == WITHIN):
                (same if identities[i] == identities[j] else different).append(float(features[i] @ features[j]))
        assert (one.same, one.different) == (len(same), len(different))
        assert one.false_accept.value == pytest.approx(np.mean(np.array(different) >= one.score - 1e-6))
        assert one.false_accept.value <= 0.05
        assert one.true_accept.value == pytest.approx(np.mean(np.array(same) >= one.score - 1e-6))
        shares = [np.mean(np.array(scores) >= found.score - 1e-6) for scores in (different, same)]
        assert [one.common_false, one.common_true] == pytest.approx(shares)
    assert found.within.common_false > 0.05 > found.across.common_false and found.within.score > found.across.score
    assert [found.score_for(*pair) for pair in (("1", "cam-01"), ("1", "2"), ("", "2"), ("gate", "2"))] == [
        *(found.within.score, found.across.score, found.score, found.score)
    ]
    unknown = find_threshold(label_pairs(features, identities, [""] * 72, "cosine"), 0.05, COSINE, 72, "drawn")
    assert (
        unknown.within == unknown.across == CameraThreshold(0, 0, 0, 0) and unknown.score_for("1", "1") == unknown.score
    )


def test_too_few_people_are_refused():
    features, identities, cameras = labelled(people=4, images=30)
    with pytest.raises(UserError, match="drawn has only 4 people with images from two cameras; .* need 5"):
        find_threshold(label_pairs(features, identities, cameras, "cosine"), 0.1, COSINE, 120, "drawn")


@pytest.fixture
def model(toy_run, tmp_path):
    """Links to the toy run, so that tests can add files to its folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in toy_run.iterdir():
        (folder / file.name).symlink_to(file)
    return folder


def test_the_command_writes_a_threshold_and_its_figure(model, fastreid_here):
    done = fastreid_here("calibrate", "--model", model, "RenderedStation", "--false-accept", "0.05")
    assert done.returncode == 0, done.stderr
    (written,) = json.loads((model / "threshold.json").read_text())["thresholds"]
    assert written["data"] == "RenderedStation" and written["asked"] == 0.05 and written["identities"] == 6
    assert f"the same person at {written['score']:.4f} or above" in done.stdout
    with Image.open(model / f"threshold-{written['model'][-8:]}.png") as figure:
        assert figure.width > 600
    assert not (model / "calibrate.journal").exists()
    again = fastreid_here("calibrate", "--model", model, "--false-accept", "0.05")
    assert again.returncode == 0, again.stderr
    # Without LABELLED it takes the test set of the run, RenderedStation.
    assert json.loads((model / "threshold.json").read_text())["thresholds"] == [written]


def test_identities_of_a_data_set_can_be_text(model, monkeypatch):
    parts = [], [("a.jpg", "anna", 0)], [("b.jpg", "anna", 1), ("c.jpg", None, 1), ("d.jpg", -1, 1), ("e.jpg", 3, 1)]
    reader = type("Own", (ImageDataset,), {"__init__": lambda self, root: ImageDataset.__init__(self, *parts)})
    monkeypatch.setitem(DATASET_REGISTRY._obj_map, "Own", reader)
    records = labelled_images("Own", model)[0]
    assert [record.identity for record in records] == ["Own anna", "Own anna", "", "", "Own 3"]


def test_training_images_are_refused(model, datasets, tmp_path, fastreid_here):
    seen = sorted((datasets / "RenderedMall" / "bounding_box_train").iterdir())[3]
    new = sorted((datasets / "RenderedMall" / "query").iterdir())
    (tmp_path / "link.jpg").symlink_to(seen)
    rows = "\n".join(f"{path},{path.name[:4]}" for path in [*new, tmp_path / "link.jpg"])
    (tmp_path / "people.csv").write_text(f"path,identity\n{rows}\n")
    for words, message in [
        ([tmp_path / "people.csv"], "of RenderedMall): a threshold needs images that the model was not trained on"),
        ([datasets / "RenderedMall" / "bounding_box_train"], "the model was trained on"),
        (["RenderedMal"], "RenderedMal is not a file or folder, nor a data set"),
        ([tmp_path / "none.csv"], "none.csv does not exist"),
    ]:
        assert message in one_line(fastreid_here("calibrate", "--model", model, *words))
    (tmp_path / "people.csv").write_text(f"path\n{new[0]}\n")
    assert "no image of known identity" in one_line(
        fastreid_here("calibrate", "--model", model, tmp_path / "people.csv")
    )
    assert not (model / "threshold.json").exists()
    shutil.copy(seen, tmp_path / "renamed.jpg")
    rows = "\n".join(f"{path},{path.name[:4]}" for path in [*new, tmp_path / "renamed.jpg"])
    (tmp_path / "people.csv").write_text(f"path,identity\n{rows}\n")
    line = one_line(fastreid_here("calibrate", "--model", model, tmp_path / "people.csv", "--false-accept", 0.5))
    assert f"renamed.jpg (it is {seen} of RenderedMall): a threshold needs images that" in line


def test_each_path_has_its_threshold_and_an_export_includes_it(model, datasets, tmp_path, fastreid_here):
    def calibrate(*words):
        done = fastreid_here("calibrate", "--model", model, "--false-accept", "0.05", *words)
        assert done.returncode == 0, done.stderr
        return json.loads((model / "threshold.json").read_text())["thresholds"]

    (mean,) = calibrate()
    assert calibrate("--path", "source:1")[0] == mean
    assert len(list(model.glob("threshold-*.png"))) == 2
    words = ["export", "--config-file", model / "config.yaml", "--output", tmp_path / "export", "OUTPUT_DIR", model]
    assert "includes the threshold" in fastreid_here(*words).stdout
    assert json.loads((tmp_path / "export" / "threshold.json").read_text())["thresholds"] == [mean]
    for number in range(2):
        shutil.copytree(datasets / "RenderedStation" / "query", tmp_path / "twice" / str(number))
    done = fastreid_here("calibrate", "--model", model, tmp_path / "twice", "--false-accept", "0.5")
    copies = len(list(datasets.glob("RenderedStation/query/*.jpg")))
    assert f"{copies} images are copies of others and count once" in done.stdout
    assert json.loads((model / "threshold.json").read_text())["thresholds"][0]["images"] <= copies


def test_mistakes_are_found_before_the_model_is_loaded(model, datasets, tmp_path, fastreid_here, monkeypatch):
    monkeypatch.setattr("fastreid_gdnorm.commands.calibrate.extractor_of", None)  # which loads the model
    query = min(datasets.glob("RenderedStation/query/*.jpg"))
    shutil.copy(query, tmp_path)
    shutil.copy(query, tmp_path / "copy.jpg")
    (tmp_path / "two.csv").write_text(f"path,identity\n{query.name},a\ncopy.jpg,b\n")
    (tmp_path / "file").touch()
    for words, message in [
        (["--false-accept", 0.001], "too few for a false-accept rate of 0.001"),
        ([tmp_path / "two.csv"], "is a copy of .* but has identity b instead of a"),
        (["--output", tmp_path / "file" / "x"], "cannot be written to .*: choose another folder with --output"),
    ]:
        assert re.search(message, one_line(fastreid_here("calibrate", "--model", model, *words)))
    (model / "threshold.json").write_text("notes of mine")
    assert "threshold.json is damaged" in one_line(fastreid_here("calibrate", "--model", model))
