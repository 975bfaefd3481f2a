"""A model's digest covers everything that changes its features, and nothing else."""

import pytest

from fastreid_gdnorm import Gallery
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.inference.description import Description, ModelInput
from fastreid_gdnorm.runs import files
from fastreid_gdnorm.runs.run_checkpoints import model_digest


@pytest.fixture
def digest_with(tiny, tmp_path):
    """A function (*overrides) -> the digest of a model with these overrides; ``config`` names a demo config."""
    (tmp_path / "a.pth").write_bytes(b"weights")

    def digest(*overrides, config="gdnorm"):
        return model_digest(tiny(config, "MODEL.WEIGHTS", str(tmp_path / "a.pth"), *overrides))

    return digest


@pytest.mark.parametrize(
    "key, other",
    [
        ("MODEL.PIXEL_MEAN", "[0, 0, 0]"),
        ("MODEL.PIXEL_STD", "[1, 1, 1]"),
        ("MODEL.HEADS.POOL_LAYER", "GlobalMaxPool"),
        ("MODEL.HEADS.NECK_FEAT", "after"),
        ("MODEL.HEADS.EMBEDDING_DIM", "64"),
        ("MODEL.BACKBONE.LAST_STRIDE", "2"),
        ("MODEL.BACKBONE.WITH_NL", "True"),
        ("TEST.METRIC", "euclidean"),
        ("INPUT.SIZE_TEST", "[48, 24]"),
        ("INPUT.CROP.ENABLED", "True"),
    ],
)
@pytest.mark.parametrize("config", ["gdnorm", "baseline"])
def test_what_changes_features_changes_the_digest(digest_with, key, other, config):
    assert digest_with(key, other, config=config) != digest_with(config=config)


def test_only_the_keys_that_a_kind_of_path_uses_change_its_digest(digest_with):
    def along(path, *overrides):
        return digest_with("MODEL.GDNORM.TEST_PATH", path, *overrides)

    assert along("mean", "MODEL.GDNORM.MEAN_OF", "statistics") != along("mean") != along("source:1")
    assert along("sample:1", "MODEL.GDNORM.LAMBDA", "0.1") != along("sample:1") != along("sample:2")
    assert along("mean", "MODEL.GDNORM.LAMBDA", "0.1", "MODEL.GDNORM.NOISE", "std") == along("mean")
    mean_of_path = ["MODEL.GDNORM.MEAN_OF", "path"]
    assert along("mean", *mean_of_path, "SOLVER.IMS_PER_BATCH", "24") != along("mean", *mean_of_path)
    three, two = ("('RenderedStreet','RenderedMall','RenderedCampus')", "('RenderedStreet','RenderedMall')")
    assert along("ensemble", "DATASETS.NAMES", three) != along("ensemble", "DATASETS.NAMES", two)


def test_equal_configs_in_another_notation_have_the_same_digest(digest_with, tmp_path):
    (tmp_path / "copy.pth").write_bytes(b"weights")
    expected = digest_with("MODEL.PIXEL_MEAN", "[1.0, 2.0, 3.0]")
    assert expected == digest_with(
        *("MODEL.PIXEL_MEAN", "(1, 2, 3)", "MODEL.WEIGHTS", str(tmp_path / "copy.pth")),
        *("OUTPUT_DIR", "elsewhere", "MODEL.DEVICE", "cpu", "MODEL.BACKBONE.PRETRAIN_PATH", "x.pth"),
        *("DATASETS.NAMES", "('RenderedCampus', 'RenderedStreet', 'RenderedMall')", "SOLVER.BASE_LR", "1.0"),
        *("MODEL.HEADS.NUM_CLASSES", "7", "MODEL.LOSSES.TRI.MARGIN", "0.5", "INPUT.CROP.SIZE", "[8, 8]"),
    )
    assert expected.startswith(files.DIGEST) and len(expected) == len(files.DIGEST) + 64


def test_a_gallery_with_an_earlier_versions_digest_must_be_built_again():
    description = Description(files.DIGEST + "1" * 64, "cosine", 6, ModelInput((4, 2)))
    gallery = Gallery(description._replace(model="0" * 64))
    with pytest.raises(UserError, match="is from an earlier version: build the gallery again$"):
        gallery.check_model(description)
