"""Checkpoints as fast-reid's model zoo publishes them, with the names of 2020 and a config whose base is elsewhere."""

import logging
import re
import shlex
import shutil

import numpy as np
import pytest
import torch
import yaml
from fastreid.modeling.meta_arch import build_model
from fastreid.utils.checkpoint import Checkpointer

from fastreid_gdnorm import FeatureExtractor
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.runs.results import read_test_results
from fastreid_gdnorm.runs.run_config import load_config

from ..conftest import ONE_TARGET, REPOSITORY

BASE = """
MODEL:
  META_ARCHITECTURE: Baseline
  BACKBONE: {NAME: build_resnet_backbone, DEPTH: 18x, FEAT_DIM: 512, PRETRAIN: False}
  HEADS: {NAME: EmbeddingHead, POOL_LAYER: GlobalAvgPool, WITH_BNNECK: True, CLS_LAYER: Linear}
INPUT: {SIZE_TRAIN: [32, 16], SIZE_TEST: [32, 16]}
SOLVER: {AMP: {ENABLED: True}}
DATALOADER: {NUM_WORKERS: 0}
"""
CONFIG = """
_BASE_: ../Base-bagtricks.yml
DATASETS:
  NAMES: ("Market1501",)
  TESTS: ("Market1501",)
OUTPUT_DIR: logs/market1501/bagtricks_R18
"""
OLD = {"heads.bottleneck.0.": "heads.bnneck.", "heads.weight": "heads.classifier.weight"}
SAID = (
    r"market_bot\.pth: loaded \d+ tensors; "
    r"renamed heads\.bnneck to heads\.bottleneck\.0, heads\.classifier\.weight to heads\.weight; "
    r"left out heads\.weight, pixel_mean, pixel_std, which features do not need"
)


def old_names(state):
    for new, old in OLD.items():
        state = {key.replace(new, old): value for key, value in state.items()}
    return state


PAGE = (REPOSITORY / "docs/trained-models.md").read_text()


@pytest.fixture
def zoo(tmp_path):
    """A function that makes the folders ``today`` and ``zoo`` of one stock model, and gives ``zoo``.

    Args:
        config: text to add to the zoo's config.
        tensors: more tensors for its checkpoint.
    """

    def make(config="", **tensors):
        for name in ("today", "zoo"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "config.yaml").write_text(CONFIG + (config if name == "zoo" else ""))
            (tmp_path / name / "Base-bagtricks.yml").write_text(BASE)
        overrides = ["MODEL.HEADS.NUM_CLASSES", "751", "MODEL.DEVICE", "cpu"]
        torch.manual_seed(0)
        model = build_model(load_config(tmp_path / "today/config.yaml", overrides))
        torch.nn.init.uniform_(model.heads.bottleneck[0].running_mean)
        state = model.state_dict()
        torch.save({"model": state}, tmp_path / "today/model_final.pth")
        normalisation = {"pixel_mean": model.pixel_mean, "pixel_std": model.pixel_std}  # (1, 3, 1, 1)
        of_2020 = {**normalisation, **old_names(state), **tensors}
        torch.save({"model": of_2020}, tmp_path / "zoo/market_bot.pth", _use_new_zipfile_serialization=False)
        return tmp_path / "zoo"

    return make


def test_commands_take_its_folder_and_say_in_one_line_what_they_loaded(
    zoo, datasets, tmp_path, fastreid_here, caplog, monkeypatch
):
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)  # fast-reid's set-up turns it off
    folder = zoo()
    images = datasets / "RenderedStation/query"
    features = {}
    for name in ("today", "zoo"):
        done = fastreid_here("extract", "--model", tmp_path / name, images, "--output", tmp_path / f"{name}.npz")
        assert done.returncode == 0, done.stderr
        features[name] = np.load(tmp_path / f"{name}.npz")["features"]
    np.testing.assert_array_equal(features["zoo"], features["today"])
    said = [record.getMessage() for record in caplog.records if record.name == "fastreid.gdnorm.checkpoints"]
    assert len([line for line in said if re.search(SAID, line)]) == 1, said

    on_cpu = ["MODEL.DEVICE", "cpu", *ONE_TARGET]
    for name in ("today", "zoo"):
        done = fastreid_here("eval", "--model", tmp_path / name, "--output", tmp_path / f"eval-{name}", *on_cpu)
        assert done.returncode == 0, done.stderr
    assert re.search(SAID, done.stdout) and "Skip loading" not in done.stdout
    assert read_test_results(tmp_path / "eval-zoo") == read_test_results(tmp_path / "eval-today")

    done = fastreid_here("export", "--model", folder, "--output", tmp_path / "export", *on_cpu)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(
        FeatureExtractor(tmp_path / "export")(str(images)), FeatureExtractor(folder)(str(images)), atol=1e-5
    )


def test_the_pages_commands_work(zoo, public_datasets, tmp_path, fastreid_here, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    zoo().rename(tmp_path / "models/market_bot_R50")
    (tmp_path / "models").rename(tmp_path / "zoo")
    people = public_datasets / "RenderedStation"
    shutil.copytree(people / "bounding_box_test", tmp_path / "crops")
    shutil.copytree(people / "query", tmp_path / "queries")
    (section,) = re.findall(r"^## Use it\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
    commands = re.findall(r"^    fastreid (.*)$", section, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["eval", "adapt", "index", "search", "export"]
    for command in commands:
        done = fastreid_here(*shlex.split(command))
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "zoo/market_bot_R50/export/model.onnx").is_file()


def test_a_training_starts_from_it_with_its_neck_in_every_branch(zoo, tiny):
    folder = zoo()
    cfg = tiny("gdnorm", "MODEL.HEADS.NUM_CLASSES", "751")
    cfg.merge_from_other_cfg(load_config(folder / "config.yaml"))
    cfg.merge_from_list("MODEL.META_ARCHITECTURE GDNormBaseline MODEL.BACKBONE.NAME build_gdnorm_backbone".split())
    cfg.merge_from_list(["MODEL.GDNORM.BACKBONE", "build_resnet_backbone", "MODEL.HEADS.NUM_CLASSES", "751"])
    cfg.DATASETS.NAMES = ("RenderedStreet", "RenderedMall")
    model = build_model(cfg)
    Checkpointer(model).load(str(folder / "market_bot.pth"))
    theirs = torch.load(folder / "market_bot.pth")["model"]
    for branch in model.heads.bottleneck[0].branches:
        assert torch.equal(branch.running_mean, theirs["heads.bnneck.running_mean"])
    assert torch.equal(model.heads.weight, theirs["heads.classifier.weight"])


def test_what_would_make_features_wrong_is_said(zoo, caplog):
    FeatureExtractor(zoo(**{"heads.pool_layer.p": torch.tensor([2.5])}))  # the power of a GeM that the config lacks
    assert "left out heads.pool_layer.p, which the config's model lacks: if the checkpoint was trained" in caplog.text


def test_another_normalisation_is_refused(zoo):
    folder = zoo(pixel_mean=torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1))
    with pytest.raises(UserError, match=r"its pixel_mean is \[1.0, 2.0, 3.0\]: set MODEL.PIXEL_MEAN to that"):
        FeatureExtractor(folder)


def test_a_base_that_is_nowhere_is_named(zoo, tmp_path):
    folder = zoo()
    (folder / "Base-bagtricks.yml").unlink()
    with pytest.raises(UserError, match="its _BASE_ .*Base-bagtricks.yml: put it there, or beside the config"):
        FeatureExtractor(folder)
    (tmp_path / "Base-bagtricks.yml").write_text(BASE)  # where the config says
    FeatureExtractor(folder)
    (folder / "Base-bagtricks.yml").write_text("MODEL: {HEADS: {NAME: Other}}")  # then that one counts
    FeatureExtractor(folder)
    (folder / "config.yaml").write_text(yaml.dump({"_BASE_": "../nowhere/config.yaml"}))
    with pytest.raises(UserError, match="No such file"):  # and no config is its own base
        FeatureExtractor(folder)
