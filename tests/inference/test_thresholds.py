"""A threshold calls as many pairs the same as it says, and rests on images that are new to the model."""

import itertools
import json

import numpy as np
import pytest
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import ImageDataset
from PIL import Image

from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.inference import thresholds
from fastreid_gdnorm.inference.description import Description, ModelInput
from fastreid_gdnorm.inference.labelled import labelled_images
from fastreid_gdnorm.inference.records import Record
from fastreid_gdnorm.inference.thresholds import (
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
    """The scores of pairs of one person, and of different people, in double."""
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
def test_rates_are_those_of_loops_over_all_pairs(description, block, monkeypatch):
    monkeypatch.setattr(thresholds, "BLOCK", block)
    data = labelled()
    same, different = scores_by_loops(*data, description.metric)
    found = find_threshold(label_pairs(*data, description.metric), 0.05, description, 60, "drawn")
    assert (found.same, found.different, found.identities) == (len(same), len(different), 12)
    assert found.false_accept.value == pytest.approx((different >= found.score - 1e-6).mean(), abs=1e-9)
    assert found.true_accept.value == pytest.approx((same >= found.score - 1e-6).mean(), abs=1e-9)
    assert found.false_accept.value <= 0.05
    # lower by one pair it would be too many
    next_lower = different[different < found.score - 1e-6].max()
    assert (different >= next_lower).mean() > 0.05


def test_ties_are_not_let_in_by_halves():
    features = np.float32([[1, 0], [1, 0], [0, 1], [0, 1], [0.6, 0.8], [0.6, 0.8]]).repeat(10, axis=0)
    identities = [str(number) for number in range(60)]
    identities[1] = identities[0]
    pairs = label_pairs(features, identities, [""] * 60, "cosine")
    found = find_threshold(pairs, 0.35, COSINE, 60, "tied")
    accepted = (pairs.scores >= np.float32(found.score)) & ~pairs.is_same
    assert accepted.sum() / (~pairs.is_same).sum() == found.false_accept.value <= 0.35
    assert found.score > 0.8 and found.false_accept.value > 0.3


def test_the_interval_is_of_resampled_people(monkeypatch):
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


def test_too_little_to_tell_is_refused():
    features, identities, cameras = labelled()
    pairs = label_pairs(features, identities, cameras, "cosine")
    for asked in 0, 1, -0.1, float("nan"):
        with pytest.raises(UserError, match="--false-accept is between 0 and 1"):
            find_threshold(pairs, asked, COSINE, 60, "drawn")
    with pytest.raises(UserError, match=r"drawn has 1650 pairs .* 0.001 of them one cannot tell, which takes 10000"):
        find_threshold(pairs, 0.001, COSINE, 60, "drawn")
    one_camera = label_pairs(features, identities, ["1"] * 60, "cosine")
    with pytest.raises(UserError, match="no two images of one person in different cameras"):
        find_threshold(one_camera, 0.05, COSINE, 60, "drawn")


def test_of_many_images_whole_identities_are_chosen(monkeypatch):
    monkeypatch.setattr(thresholds, "MOST_IMAGES", 20)
    records = [Record(f"{number}.jpg", identity=str(number % 12) if number % 5 else "") for number in range(60)]
    chosen = choose_images(records)
    assert 0 < len(chosen) <= 20
    identities = {record.identity for record in chosen}
    assert chosen == [record for record in records if record.identity in identities]


def test_it_is_kept_beside_the_model_and_belongs_to_it(tmp_path):
    data = labelled()
    found = find_threshold(label_pairs(*data, "cosine"), 0.05, COSINE, 60, "drawn")
    (tmp_path / "model.onnx").touch()
    assert read_threshold(tmp_path, COSINE) is None
    save_threshold(tmp_path, found)
    assert read_threshold(tmp_path, COSINE) == read_threshold(tmp_path / "model.onnx", COSINE) == found
    with pytest.raises(UserError, match="threshold.json is of model mmmm.*, and this is model nnnn"):
        read_threshold(tmp_path, COSINE._replace(model="n" * 64))
    for text in "{", "[]", '{"score": 0.5}', (tmp_path / "threshold.json").read_text().replace('"low"', '"below"'):
        (tmp_path / "threshold.json").write_text(text)
        with pytest.raises(UserError, match="threshold.json is damaged .*: run fastreid calibrate again"):
            read_threshold(tmp_path, COSINE)


@pytest.fixture
def model(toy_run, tmp_path):
    """The toy run, where files may be put beside it."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in toy_run.iterdir():
        (folder / file.name).symlink_to(file)
    return folder


def test_the_command_writes_a_threshold_and_its_figure(model, fastreid_here):
    done = fastreid_here("calibrate", "--model", model, "RenderedStation", "--false-accept", "0.05")
    assert done.returncode == 0, done.stderr
    written = json.loads((model / "threshold.json").read_text())
    assert written["data"] == "RenderedStation" and written["asked"] == 0.05 and written["identities"] == 6
    assert f"the same person from {written['score']:.4f} on" in done.stdout
    with Image.open(model / "threshold.png") as figure:
        assert figure.width > 600
    assert not (model / "calibrate.journal").exists()
    again = fastreid_here("calibrate", "--model", model, "--false-accept", "0.05")
    assert again.returncode == 0, again.stderr
    assert json.loads((model / "threshold.json").read_text()) == written  # the run is tested on RenderedStation


def test_people_of_a_data_set_may_be_text(model, monkeypatch):
    parts = [], [("a.jpg", "anna", 0)], [("b.jpg", "anna", 1), ("c.jpg", None, 1), ("d.jpg", -1, 1), ("e.jpg", 3, 1)]
    reader = type("Own", (ImageDataset,), {"__init__": lambda self, root: ImageDataset.__init__(self, *parts)})
    monkeypatch.setitem(DATASET_REGISTRY._obj_map, "Own", reader)
    records, _ = labelled_images("Own", model)
    assert [record.identity for record in records] == ["Own anna", "Own anna", "", "", "Own 3"]


def test_what_the_model_has_learned_from_is_refused(model, datasets, tmp_path, fastreid_here):
    seen = sorted((datasets / "RenderedMall" / "bounding_box_train").iterdir())[3]
    new = sorted((datasets / "RenderedMall" / "query").iterdir())
    (tmp_path / "link.jpg").symlink_to(seen)
    rows = "\n".join(f"{path},{path.name[:4]}" for path in [*new, tmp_path / "link.jpg"])
    (tmp_path / "people.csv").write_text(f"path,identity\n{rows}\n")
    for words, message in [
        ([tmp_path / "people.csv"], "link.jpg, of RenderedMall: a threshold needs images new to it"),
        ([datasets / "RenderedMall" / "bounding_box_train"], "the model was trained on"),
        (["RenderedMal"], "RenderedMal is no file, no folder, and no data set"),
        ([tmp_path / "none.csv"], "none.csv is not there"),
    ]:
        assert message in one_line(fastreid_here("calibrate", "--model", model, *words))
    (tmp_path / "people.csv").write_text(f"path\n{new[0]}\n")
    assert "no image of known identity" in one_line(
        fastreid_here("calibrate", "--model", model, tmp_path / "people.csv")
    )
    assert not (model / "threshold.json").exists()
