"""Exported models, where nobody has heard of this plugin, and what cannot be exported."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from fastreid.engine import DefaultTrainer

from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.evaluation import evaluate_rank
from fastreid_gdnorm.export import export_model
from fastreid_gdnorm.runs.checkpoints import load_model
from fastreid_gdnorm.runs.config import load_config

from .conftest import DEMO, TINY, fastreid

# stock fast-reid with nothing but its imports mended, run where fastreid_gdnorm cannot be imported; in double, so that
# what is compared is the folding, not the rounding of a deep network
STOCK = """
import collections, collections.abc, sys, types
sys.modules["fastreid_gdnorm"] = None
collections.Mapping = collections.abc.Mapping
import numpy as np, torch
try:
    import torch._six
except ImportError:
    sys.modules["torch._six"] = types.SimpleNamespace(string_classes=(str, bytes))
from fastreid.config import get_cfg
from fastreid.data.common import CommDataset
from fastreid.data.datasets.market1501 import Market1501
from fastreid.data.transforms import build_transforms
from fastreid.evaluation.rank import evaluate_rank
from fastreid.modeling.meta_arch import build_model
from fastreid.utils.checkpoint import Checkpointer

folder, root, output = sys.argv[1:]
cfg = get_cfg()
cfg.merge_from_file(folder + "/config.yaml")
cfg.MODEL.DEVICE = "cpu"
model = build_model(cfg).eval()
Checkpointer(model).load(folder + "/model.pth")
model.double()
data = Market1501(root)
items = sorted(data.query) + sorted(data.gallery)
images = CommDataset(items, build_transforms(cfg, is_train=False), relabel=False)
with torch.no_grad():
    features = torch.cat([model({"images": images[i]["images"][None].double()}) for i in range(len(images))])
unit = torch.nn.functional.normalize(features, dim=1)
pids, cameras = (np.array([item[i] for item in items]) for i in (1, 2))
n = len(data.query)
distances = (1 - unit[:n] @ unit[n:].T).numpy()
cmc, precisions, _ = evaluate_rank(distances, pids[:n], pids[n:], cameras[:n], cameras[n:])
labels = {"names": [item[0] for item in items], "pids": pids, "cameras": cameras, "num_query": n}
np.savez(output, features=features.numpy(), mAP=100 * np.mean(precisions), **labels)
"""


@pytest.fixture(scope="module")
def exported(toy_run, tmp_path_factory):
    """All that the command makes of the toy run."""
    folder = tmp_path_factory.mktemp("exported")
    done = fastreid("export", "--config-file", toy_run / "config.yaml", "--output", folder, "--onnx", "--fuse")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("largest difference") == 3
    return folder


def features_of(toy_run, paths):
    """Images, and what the trained model makes of them along its mean path, in double."""
    from fastreid.data import CommDataset
    from fastreid.data.transforms import build_transforms

    cfg = load_config(str(toy_run / "config.yaml"))
    items = [(path, 0, 0) for path in paths]
    images = CommDataset(items, build_transforms(cfg, is_train=False), relabel=False)
    batch = torch.stack([images[i]["images"] for i in range(len(images))]).float()
    with torch.no_grad():
        return batch, load_model(cfg).eval().double()({"images": batch.double()})


def map_bounds(features, pids, cameras, num_query):
    """The mAP if rounding goes against every right match, and if it goes for it; the same unless something is near."""
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
    words = [sys.executable, "-c", STOCK, str(exported), str(root), str(tmp_path / "stock.npz")]
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


def test_the_manifest_says_what_it_is(toy_run, exported):
    manifest = json.loads((exported / "manifest.json").read_text())
    assert manifest["K"] == 3 and manifest["sources"] == ["RenderedStreet", "RenderedMall", "RenderedCampus"]
    assert (manifest["path"], manifest["lambda"], manifest["noise"]) == ("mean", 0.6, "variance")
    assert manifest["meta_architecture"] == {"trained": "GDNormBaseline", "exported": "Baseline"}
    assert manifest["input"] == {"size": [32, 16], "channels": "RGB", "range": [0, 255]}
    assert set(manifest["files"]) == {"model.pth", "model_fused.pt", "model.onnx"}
    assert manifest["versions"]["fastreid"] == "1.4.0"
    assert "GDNORM" not in (exported / "config.yaml").read_text()


def untrained(tmp_path, *overrides):
    """The config and the checkpoint of a model that has only been built, its branches pulled apart."""
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


RESNET_50 = "MODEL.BACKBONE.DEPTH 50x MODEL.BACKBONE.FEAT_DIM 2048".split()
MODELS = {
    "ibn": ["MODEL.BACKBONE.WITH_IBN", "True"],
    "mean of statistics": ["MODEL.GDNORM.MEAN_OF", "statistics"],
    "osnet": "MODEL.GDNORM.BACKBONE build_osnet_backbone MODEL.BACKBONE.DEPTH x1_0 MODEL.BACKBONE.FEAT_DIM 512".split(),
    "mgn": ["MODEL.META_ARCHITECTURE", "GDNormMGN", "INPUT.SIZE_TEST", "[96,32]", *RESNET_50],
}


@pytest.mark.parametrize("overrides", MODELS.values(), ids=MODELS)
def test_other_models_leave_too(tmp_path, datasets, overrides):
    config, weights = untrained(tmp_path, *overrides)
    path = "mean" if "MODEL.GDNORM.MEAN_OF" in overrides else "source:1"
    manifest = export_model(config, tmp_path / "out", path, onnx=True, fuse=True, overrides=weights)
    assert manifest["path"] == path
    assert all(file["difference"] <= file["tolerance"] for file in manifest["files"].values())


def test_what_cannot_be_exported_says_why(toy_run, tmp_path):
    config = str(toy_run / "config.yaml")
    with pytest.raises(UserError, match="ensemble is 3 networks in one: export each source:K, or mean"):
        export_model(config, tmp_path, "ensemble")
    with pytest.raises(UserError, match="TEST_PATH is mean, .*; got 'source:7'"):
        export_model(config, tmp_path, "source:7")
    done = fastreid("export", "--config-file", config, "--output", tmp_path, "MODEL.WEIGHTS", "nowhere.pth")
    assert done.returncode == 2 and "checkpoint nowhere.pth is not found" in done.stderr
