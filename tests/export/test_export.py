"""Exported models run without this plugin; models that cannot be exported are refused."""

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fastreid.engine import DefaultTrainer

from fastreid_gdnorm import FeatureExtractor
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.evaluation import evaluate_rank
from fastreid_gdnorm.export import export_model, formats
from fastreid_gdnorm.export.stock import path_to_fold, stock_config, stock_model
from fastreid_gdnorm.layers import fold_gdnorm
from fastreid_gdnorm.runs.run_checkpoints import load_model
from fastreid_gdnorm.runs.run_config import load_config

from ..conftest import DEMO, TINY
from ..runs.toy import one_line

STOCK = Path(__file__).with_name("stock_fastreid.py")


def features_of(toy_run, paths):
    """Images and the trained model's features of them along the mean path, in double."""
    from fastreid.data import CommDataset
    from fastreid.data.transforms import build_transforms

    cfg = load_config(str(toy_run / "config.yaml"))
    items = [(path, 0, 0) for path in paths]
    images = CommDataset(items, build_transforms(cfg, is_train=False), relabel=False)
    batch = torch.stack([images[i]["images"] for i in range(len(images))]).float()
    with torch.no_grad():
        return batch, load_model(cfg).eval().double()({"images": batch.double()})


def map_bounds(features, pids, cameras, num_query):
    """The lowest and the highest mAP that rounding can cause; they are equal unless distances are nearly tied."""
    unit = torch.nn.functional.normalize(features, dim=1)
    distances = (1 - unit[:num_query] @ unit[num_query:].T).numpy()
    (q_pids, g_pids), (q_cameras, g_cameras) = (np.split(labels, [num_query]) for labels in (pids, cameras))
    right = q_pids[:, None] == g_pids
    for rounding in 1e-5, -1e-5:
        _, precisions, _ = evaluate_rank(distances + rounding * right, q_pids, g_pids, q_cameras, g_cameras)
        yield 100 * precisions.mean()


def test_stock_fastreid_without_the_plugin_gives_the_same_features_and_map(toy_run, exported, datasets, tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    (root / "Market-1501-v15.09.15").symlink_to(datasets / "RenderedStation")
    words = [sys.executable, str(STOCK), str(exported), str(root), str(tmp_path / "stock.npz")]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    stock = np.load(tmp_path / "stock.npz")
    batch, expected = features_of(toy_run, stock["names"])
    assert np.abs(stock["features"] - expected.numpy()).max() <= 1e-5 * expected.abs().max()
    own = json.loads((toy_run / "test_results.json").read_text())["RenderedStation"]
    worst, best = map_bounds(expected, stock["pids"], stock["cameras"], int(stock["num_query"]))
    for found in float(stock["mAP"]), own["mAP"]:
        assert found == pytest.approx(np.clip(found, worst, best), abs=1e-3)

    fused = torch.jit.load(str(exported / "model_fused.pt"))
    norms = [node for node in fused.inlined_graph.nodes() if "batch_norm" in node.kind()]
    assert len(norms) == 1, "the neck's, which follows no convolution"
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(exported / "model.onnx"))
    with torch.no_grad():
        for size in (1, len(batch)):
            images = batch[:size]
            for found in fused(images.clone()).numpy(), session.run(None, {"images": images.numpy()})[0]:
                assert np.abs(found - expected[:size].numpy()).max() <= 1e-4 * expected.abs().max()


def test_the_manifest_describes_the_export(exporting):
    exported, said = exporting
    assert said.count("largest difference") == 3
    manifest = json.loads((exported / "manifest.json").read_text())
    assert manifest["K"] == 3 and manifest["sources"] == ["RenderedStreet", "RenderedMall", "RenderedCampus"]
    assert (manifest["path"], manifest["lambda"], manifest["noise"]) == ("mean", 0.6, "variance")
    assert manifest["meta_architecture"] == {"trained": "GDNormBaseline", "exported": "Baseline"}
    plain = {"channels": "RGB", "batch": None, "size": [32, 16], "range": [0, 255], "mean": [0] * 3, "std": [1] * 3}
    assert manifest["input"] == {"layout": "NCHW", **plain}
    assert set(manifest["files"]) == {"model.pth", "model_fused.pt", "model.onnx"}
    assert manifest["versions"]["fastreid"] == "1.4.0"
    assert "GDNORM" not in (exported / "config.yaml").read_text()


def untrained(tmp_path, *overrides):
    """Config and checkpoint of an untrained model whose branches differ."""
    words = [*TINY, "MODEL.BACKBONE.PRETRAIN", "False", "MODEL.HEADS.NUM_CLASSES", "5", "OUTPUT_DIR", str(tmp_path)]
    cfg = load_config(f"{DEMO}/gdnorm.yml", [*words, *overrides])
    model = DefaultTrainer.build_model(cfg)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, values in model.state_dict().items():
            if ".branches." in name and values.is_floating_point():
                values.mul_(1 + 0.2 * torch.rand(()))
    torch.save({"model": model.state_dict()}, tmp_path / "model.pth")
    (tmp_path / "config.yaml").write_text(cfg.dump())
    return str(tmp_path / "config.yaml"), ["MODEL.WEIGHTS", str(tmp_path / "model.pth")]


RESNET = "MODEL.GDNORM.BACKBONE build_resnet_backbone MODEL.BACKBONE.LAST_STRIDE 2".split()
RESNET_50 = [*RESNET, *"MODEL.BACKBONE.DEPTH 50x MODEL.BACKBONE.FEAT_DIM 2048".split()]
MODELS = {
    "ibn": [*RESNET, *"MODEL.BACKBONE.DEPTH 18x MODEL.BACKBONE.FEAT_DIM 512 MODEL.BACKBONE.WITH_IBN True".split()],
    "osnet": "MODEL.GDNORM.BACKBONE build_osnet_backbone MODEL.BACKBONE.DEPTH x1_0 MODEL.BACKBONE.FEAT_DIM 512".split(),
    "mgn": ["MODEL.META_ARCHITECTURE", "GDNormMGN", "INPUT.SIZE_TEST", "[96,32]", *RESNET_50],
}


LONG = ("mgn", "osnet")


@pytest.mark.parametrize(
    "overrides", [pytest.param(MODELS[name], id=name, marks=[pytest.mark.long] * (name in LONG)) for name in MODELS]
)
def test_other_models_can_be_exported(tmp_path, datasets, overrides):
    config, weights = untrained(tmp_path, *overrides)
    manifest = export_model(config, tmp_path / "out", "source:1", onnx=True, fuse=True, overrides=weights)
    assert manifest["path"] == "source:1"
    assert len(manifest["files"]) == 3
    assert all(file["difference"] <= file["tolerance"] for file in manifest["files"].values())


def test_branches_of_a_stock_meta_architecture_are_folded_too(tmp_path, datasets):
    config, weights = untrained(tmp_path, "MODEL.META_ARCHITECTURE", "Baseline")
    manifest = export_model(config, tmp_path / "out", overrides=weights)
    assert manifest["files"]["model.pth"]["difference"] <= 1e-5
    assert not any("branches" in key for key in torch.load(tmp_path / "out/model.pth", weights_only=True)["model"])
    assert "NAME: build_mobilenetv2_backbone" in (tmp_path / "out/config.yaml").read_text()


@pytest.mark.parametrize("path, mean_of", [("mean", "statistics"), ("sample:7", "affine")])
def test_other_paths_can_be_exported(toy_run, tmp_path, path, mean_of):
    manifest = export_model(toy_run / "config.yaml", tmp_path, path, overrides=["MODEL.GDNORM.MEAN_OF", mean_of])
    assert (manifest["path"], manifest["mean_of"]) == (path, mean_of)
    assert manifest["files"]["model.pth"]["difference"] <= 1e-5


def test_building_a_stock_model_changes_neither_config_nor_model(toy_run):
    cfg = load_config(toy_run / "config.yaml")
    model = load_model(cfg)
    text, state = cfg.dump(), copy.deepcopy(model.state_dict())
    stock_model(stock_config(cfg), model, path_to_fold(cfg, "source:1"))
    assert cfg.dump() == text
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_a_file_with_other_features_is_refused(toy_run, tmp_path, monkeypatch):
    def in_bgr(self, images):
        return self.model(images.flip(1))

    def with_a_weight_off_by_a_percent(module, path):
        folded = fold_gdnorm(module, path)
        with torch.no_grad():
            folded.backbone.features[17].conv[7].weight[0] *= 1.01
        return folded

    config = toy_run / "config.yaml"
    monkeypatch.setattr(formats._Deployed, "forward", in_bgr)
    with pytest.raises(UserError, match="model_fused.pt: features differ from the trained model's"):
        export_model(config, tmp_path, fuse=True)
    with pytest.raises(UserError, match="model.onnx: features differ from the trained model's"):
        export_model(config, tmp_path, onnx=True)
    monkeypatch.setattr("fastreid_gdnorm.export.stock.fold_gdnorm", with_a_weight_off_by_a_percent)
    with pytest.raises(UserError, match="model.pth: features differ from the trained model's by .*, more than 1e-05"):
        export_model(config, tmp_path)
    assert not (tmp_path / "manifest.json").exists()


def test_an_export_replaces_an_earlier_export_but_no_file_of_the_user(toy_run, tmp_path, fastreid_here, monkeypatch):
    def export(output, *words):
        return fastreid_here("export", "--config-file", toy_run / "config.yaml", "--output", output, *words)

    before = (toy_run / "config.yaml").read_bytes()
    line = one_line(export(toy_run, "OUTPUT_DIR", toy_run))
    assert "config.yaml already exists and was not written by fastreid export" in line
    assert (toy_run / "config.yaml").read_bytes() == before and not (toy_run / "manifest.json").exists()

    assert export(tmp_path, "--onnx", "--for", "boxmot").returncode == 0
    (tmp_path / "mine.onnx").write_text("mine")
    done = export(tmp_path, "--path", "source:1")
    assert done.returncode == 0, done.stderr
    assert {file.name for file in tmp_path.iterdir()} == {"config.yaml", "model.pth", "manifest.json", "mine.onnx"}
    assert "removed from" in done.stdout and "model.onnx, model_boxmot.onnx, model_boxmot.onnx.metadata" in done.stdout
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="has no model.onnx: export with --onnx"):
        FeatureExtractor(tmp_path)
    (tmp_path / "model.onnx").write_text("of another export")
    with pytest.raises(UserError, match="has no model.onnx: export with --onnx"):
        FeatureExtractor(tmp_path)
    assert "model.onnx already exists" in one_line(export(tmp_path, "--onnx"))


@pytest.mark.parametrize("name", ["model.pth", "config.yaml", "model.onnx"])
def test_a_file_that_differs_from_its_manifest_is_named(exported, tmp_path, name, fastreid_here):
    for file in ("manifest.json", "config.yaml", "model.pth", "model.onnx"):
        shutil.copy(exported / file, tmp_path)
    if name != "model.onnx":
        (tmp_path / "model.onnx").unlink()  # so that torch runs model.pth
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b"\n")
    with pytest.raises(UserError, match=f"{name} is missing or has changed since manifest.json was written"):
        FeatureExtractor(tmp_path, device="cpu")
    words = ["export", "--config-file", exported / "config.yaml", "--output", tmp_path, "--onnx"]
    words += ["MODEL.WEIGHTS", exported / "model.pth"]
    assert f"{name} has changed since fastreid export wrote it" in one_line(fastreid_here(*words))


def test_an_impossible_export_is_refused_with_the_reason(toy_run, tmp_path, monkeypatch):
    config = toy_run / "config.yaml"
    with pytest.raises(UserError, match="ensemble runs 3 networks: export each source:N, or mean"):
        export_model(config, tmp_path, "ensemble")
    with pytest.raises(UserError, match="TEST_PATH must be mean, .*; got 'source:7'"):
        export_model(config, tmp_path, "source:7")
    with pytest.raises(UserError, match="--path instance depends on the image and cannot be folded"):
        export_model(config, tmp_path, "instance")
    with pytest.raises(UserError, match="checkpoint nowhere.pth does not exist"):
        export_model(config, tmp_path, overrides=["MODEL.WEIGHTS", "nowhere.pth"])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="an ONNX export needs onnxruntime: pip install onnx onnxruntime"):
        formats.write_onnx(None, None, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
