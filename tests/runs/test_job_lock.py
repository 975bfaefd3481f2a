"""The folder of a path sweep accepts one checkpoint, tested in one way."""

import json

import pytest

from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.runs.job_lock import claim


@pytest.fixture
def claimed(tiny, tmp_path):
    """A function (*overrides) that claims a sweep's folder for a config with these overrides."""
    (tmp_path / "a.pth").write_bytes(b"weights")

    def claim_with(*overrides):
        claim(tmp_path / "sweep.json", tiny("gdnorm", "MODEL.WEIGHTS", str(tmp_path / "a.pth"), *overrides))

    claim_with()
    return claim_with


OTHERS = {
    "TEST.FLIP.ENABLED": "True",
    "TEST.RERANK.ENABLED": "True",
    "TEST.RERANK.K1": "10",
    "TEST.AQE.ENABLED": "True",
    "TEST.METRIC": "euclidean",
    "INPUT.SIZE_TEST": "[48, 24]",
    "INPUT.CROP.ENABLED": "True",
    "MODEL.GDNORM.NOISE": "std",
    "MODEL.HEADS.NECK_FEAT": "after",
    "DATASETS.MSMT17.VERSION": "V2",
    "DATASETS.CUHK03.BOXES": "labeled",
    "DATASETS.COMBINEALL": "True",
    "DATASETS.NAMES": "('RenderedMall', 'RenderedStreet', 'RenderedCampus')",
}


@pytest.mark.parametrize("key", OTHERS)
def test_a_setting_that_changes_results_is_refused_with_both_values(claimed, tmp_path, key):
    held = (tmp_path / "sweep.json").read_bytes()
    with pytest.raises(UserError) as error:
        claimed(key, OTHERS[key])
    before, after = json.loads(held)[key], OTHERS[key].replace("(", "[").replace(")", "]")
    assert str(error.value) == (
        f"{tmp_path} holds a sweep with {key} {before}, but this one has {after}: remove it, or choose another folder"
    )
    assert (tmp_path / "sweep.json").read_bytes() == held


def test_all_differences_are_named(claimed):
    with pytest.raises(UserError, match="with TEST.METRIC cosine, .* euclidean; TEST.FLIP.ENABLED False, .* True: rem"):
        claimed("TEST.FLIP.ENABLED", "True", "TEST.METRIC", "euclidean")


def test_a_checkpoint_is_identified_by_its_contents(claimed, tmp_path):
    (tmp_path / "b.pth").write_bytes(b"weights")
    claimed("MODEL.WEIGHTS", str(tmp_path / "b.pth"))
    (tmp_path / "a.pth").write_bytes(b"trained on")
    with pytest.raises(
        UserError, match="holds a sweep with checkpoint [0-9a-f]{64}, but this one has [0-9a-f]{64}: remove"
    ):
        claimed()


def test_a_setting_that_changes_no_result_is_accepted(claimed):
    claimed("DATASETS.TESTS", "('RenderedNight',)")
    claimed("MODEL.DEVICE", "meta", "TEST.IMS_PER_BATCH", "7")
    claimed("MODEL.GDNORM.LAMBDA", "0.1", "MODEL.GDNORM.TEST_PATH", "ensemble")
    claimed("MODEL.HEADS.NUM_CLASSES", "18", "MODEL.BACKBONE.PRETRAIN_PATH", "elsewhere.pth", "SOLVER.BASE_LR", "1.0")


@pytest.mark.parametrize("content", ['{"weights": "a.pth", "modified": 1, "test": {"noise": "variance"}}', '{"check'])
def test_an_older_format_and_a_damaged_file_are_refused_in_one_line(claimed, tmp_path, content):
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(
        UserError, match="^.*earlier version, or its sweep.json is damaged: remove it, or choose [a-z ]*$"
    ):
        claimed()


@pytest.mark.parametrize("key, other", [("SOLVER.IMS_PER_BATCH", "24"), ("TEST.PRECISE_BN.NUM_ITER", "7")])
def test_the_images_of_statistics_matter_only_if_the_mean_path_has_its_own_statistics(claimed, tmp_path, key, other):
    claimed(key, other)
    (tmp_path / "sweep.json").unlink()
    mean_of_path = ["MODEL.GDNORM.MEAN_OF", "path"]
    claimed(*mean_of_path)
    with pytest.raises(UserError, match=f"{key} .*, but this one has {other}"):
        claimed(*mean_of_path, key, other)
