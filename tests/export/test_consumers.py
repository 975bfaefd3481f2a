"""Files for trackers are right with their tracker's preprocessing and wrong with any other."""

import json
import re
import sys

import cv2
import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch
import yaml

from fastreid_gdnorm import FeatureExtractor
from fastreid_gdnorm.consumers import CONSUMERS
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.export import export_model, formats
from fastreid_gdnorm.runs.run_checkpoints import load_model
from fastreid_gdnorm.runs.run_folder import load_run_config

from ..conftest import REPOSITORY
from ..runs.toy import one_line
from .test_export import RESNET_50, untrained

HEIGHT, WIDTH = 32, 16  # of the toy run
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def crops(datasets):
    """Crops of rendered people in several sizes, BGR."""
    rng = np.random.default_rng(0)
    files = sorted((datasets / "RenderedStation" / "query").iterdir())
    return [cv2.resize(cv2.imread(str(file)), tuple(rng.integers((20, 40), (90, 200)))) for file in files]


@pytest.fixture(scope="module")
def right(toy_run, crops):
    """The trained model's features of the crops, resized by OpenCV."""
    model = load_model(load_run_config(toy_run)).eval()
    images = np.stack([cv2.resize(crop, (WIDTH, HEIGHT))[..., ::-1] for crop in crops])
    with torch.no_grad():
        return model({"images": torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32))}).numpy()


def fed_by_boxmot(crops):
    rgb = np.stack([cv2.cvtColor(cv2.resize(crop, (WIDTH, HEIGHT)), cv2.COLOR_BGR2RGB) for crop in crops])
    return ((rgb / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)


def fed_by_ultralytics(crops):
    batch = []
    for crop in crops:
        rgb = torch.from_numpy(np.ascontiguousarray(crop[..., ::-1])).permute(2, 0, 1)[None] / 255
        batch.append(torch.nn.functional.interpolate(rgb, size=(HEIGHT, WIDTH), mode="bilinear")[0].numpy())
    return np.stack(batch)


def fed_by_openvinos_demos(crops):
    return np.stack([cv2.resize(crop, (WIDTH, HEIGHT)).transpose(2, 0, 1) for crop in crops])


FEEDS = {"model_boxmot.onnx": fed_by_boxmot, "model_ultralytics.onnx": fed_by_ultralytics}


def features(file, fed):
    session = onnxruntime.InferenceSession(str(file))
    return np.concatenate([session.run(None, {"images": image[None]})[0] for image in fed])


def cosines(one, other):
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def between(found):
    """The lowest cosine between any two features."""
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    return (unit @ unit.T).min()


@pytest.mark.parametrize("name", FEEDS)
def test_a_file_fed_by_its_tracker_gives_the_trained_models_features(exported, crops, right, name):
    assert cosines(features(exported / name, FEEDS[name](crops)), right).min() >= 0.999


def test_openvino_gives_the_trained_models_features_as_open_model_zoos_demos_call_it(exported, crops, right):
    model = openvino.Core().read_model(exported / "model_openvino.onnx")
    network = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert list(network.input().shape) == [1, 3, HEIGHT, WIDTH]
    found = np.concatenate([network([image[None]])[0] for image in fed_by_openvinos_demos(crops)])
    assert found.shape == right.shape and cosines(found, right).min() >= 0.9999
    in_rgb = np.concatenate([network([image[None, ::-1]])[0] for image in fed_by_openvinos_demos(crops)])
    assert cosines(in_rgb, right).min() < 0.999
    model.get_parameters()[0].set_layout(openvino.Layout("NCHW"))
    openvino.set_batch(model, len(crops))  # as the pedestrian tracker's demo does
    batch = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert cosines(batch([fed_by_openvinos_demos(crops)])[0], right).min() >= 0.9999


def test_an_extractor_feeds_any_file_as_it_asks(exported, crops):
    expected, *found = (
        FeatureExtractor(exported / file, order="BGR")(crops)
        for file in ("model.onnx", "model_openvino.onnx", "model_boxmot.onnx")
    )
    for other in found:
        assert np.abs(other - expected).max() < 1e-4


def test_deepstreams_section_says_what_its_file_takes(exported, crops, right):
    text = (exported / "deepstream_reid.yml").read_text()
    section = yaml.safe_load(text)["ReID"]
    assert all(re.fullmatch(r"#.*|ReID:|  \w+: .+  # \w.*", line) for line in text.splitlines())
    session = onnxruntime.InferenceSession(str(exported / section["onnxFile"]))
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    assert taken.shape == ["batch", *section["inferDims"]] and given.shape == ["batch", section["reidFeatureSize"]]
    input_of = json.loads((exported / "manifest.json").read_text())["consumers"]["deepstream"]["input"]
    assert [input_of["layout"], input_of["channels"]] == [["NCHW", "NHWC"][section["inputOrder"]], "RGB"]
    assert section["colorFormat"] == 0 and section["keepAspc"] == 0 and section["batchSize"] > 1

    images = fed_by_openvinos_demos(crops)[:, ::-1].astype(np.float32)
    fed = section["netScaleFactor"] * (images - np.reshape(section["offsets"], (3, 1, 1)))
    assert cosines(features(exported / section["onnxFile"], fed.astype(np.float32)), right).min() >= 0.9999


def test_the_manual_describes_every_consumer():
    page = (REPOSITORY / "docs" / "export.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(CONSUMERS)
    for consumer in CONSUMERS.values():
        assert "{} to {}".format(*consumer.range) in page and consumer.file in page and consumer.sidecar in page


@pytest.mark.parametrize("name", FEEDS)
def test_the_plain_file_in_a_tracker_cannot_tell_people_apart(exported, crops, right, name):
    found = features(exported / "model.onnx", FEEDS[name](crops))
    assert cosines(found, right).max() < 0.9
    assert between(found) > between(right) and between(found) > 0.9


def test_wrong_normalisation_or_colour_order_changes_the_features(exported, crops, right):
    once = fed_by_boxmot(crops)
    mean, std = MEAN.reshape(3, 1, 1), STD.reshape(3, 1, 1)
    for wrong in (once - mean) / std, once * std + mean, once[:, ::-1]:
        found = features(exported / "model_boxmot.onnx", wrong.astype(np.float32))
        assert cosines(found, right).min() < 0.999


def test_files_describe_their_input(exported):
    manifest = json.loads((exported / "manifest.json").read_text())
    for name, taken in [
        ("model.onnx", manifest["input"]),
        ("model_boxmot.onnx", manifest["consumers"]["boxmot"]["input"]),
        ("model_ultralytics.onnx", manifest["consumers"]["ultralytics"]["input"]),
        ("model_openvino.onnx", manifest["consumers"]["openvino"]["input"]),
    ]:
        (prop,) = onnx.load(exported / name).metadata_props  # each key becomes an attribute in Ultralytics
        said = json.loads(prop.value)
        assert prop.key == "fastreid_gdnorm" and said["input"] == taken and said["model"] == manifest["model"]
        (taken_by_graph,) = onnxruntime.InferenceSession(str(exported / name)).get_inputs()
        assert taken_by_graph.shape == [taken["batch"] or "batch", 3, HEIGHT, WIDTH]
    in_torchscript = {"fastreid_gdnorm": ""}
    torch.jit.load(exported / "model_fused.pt", _extra_files=in_torchscript)
    assert json.loads(in_torchscript["fastreid_gdnorm"])["input"] == manifest["input"]
    assert manifest["consumers"]["boxmot"]["input"]["mean"] == [0.485, 0.456, 0.406]
    assert manifest["consumers"]["ultralytics"]["input"]["range"] == [0, 1]
    taken = manifest["consumers"]["openvino"]["input"]
    assert [taken["channels"], taken["batch"], taken["range"]] == ["BGR", 1, [0, 255]]
    assert all(one["cosine"] >= 0.9999 for one in manifest["consumers"].values())
    assert manifest["consumers"]["fastreid"]["cosine_to_evaluation"] >= 0.999
    sidecar = json.loads((exported / "model_boxmot.onnx.metadata.json").read_text())
    assert sidecar["img_size"] == [HEIGHT, WIDTH] and sidecar["preprocess"] == "resize"


def test_a_file_that_is_wrong_for_its_tracker_is_refused(toy_run, tmp_path, monkeypatch):
    monkeypatch.setattr(formats._Deployed, "forward", lambda self, images: self.model(images.clone()))
    wrong = r"model_boxmot.onnx: the cosine between its features and the trained model's is -?0\.\d+, below 0.9999"
    with pytest.raises(UserError, match=wrong):
        export_model(toy_run / "config.yaml", tmp_path, consumers=["boxmot"])
    assert not (tmp_path / "manifest.json").exists()


def test_the_export_prints_how_to_use_each_file(exporting):
    _, said = exporting
    for words in (
        "boxmot track --reid",
        "with_reid: True",
        "replace 2048 by 1280 in BoT-SORT's fast_reid/fast_reid_interfece.py",
        "the section ReID of",
    ):
        assert words in said


def test_an_ultralytics_that_is_too_old_is_named(toy_run, tmp_path, monkeypatch, fastreid_here):
    def said_with(version):
        info = tmp_path / version / f"ultralytics-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ultralytics\nVersion: {version}\n")
        with monkeypatch.context() as patched:
            patched.syspath_prepend(str(info.parent))
            output = tmp_path / f"export-{version}"
            done = fastreid_here("export", "--model", toy_run, "--output", output, "--for", "ultralytics")
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "Ultralytics 8.4.99, which is installed here, crops squares and fails on this 32x16" in said_with("8.4.99")
    assert "crops squares" not in said_with("8.4.175")


def test_a_missing_openvino_is_named_before_anything_is_written(tmp_path, monkeypatch, fastreid_here):
    monkeypatch.setitem(sys.modules, "openvino", None)
    words = ["--config-file", "nowhere.yaml", "--output", tmp_path / "out", "--for", "openvino"]
    assert "checks its file with the package openvino, which is not installed: pip install openvino" in one_line(
        fastreid_here("export", *words)
    )


@pytest.mark.long
def test_a_model_that_bot_sort_cannot_use_is_refused(tmp_path, datasets, fastreid_here):
    words = ["MODEL.META_ARCHITECTURE", "GDNormMGN", "INPUT.SIZE_TEST", "[96,32]", *RESNET_50]
    config, weights = untrained(tmp_path, *words)
    done = fastreid_here("export", "--config-file", config, "--output", tmp_path / "out", "--for", "botsort", *weights)
    assert re.search(r"BoT-SORT cannot use an MGN with \d+ features, only with 2048: .*--for boxmot", one_line(done))
    assert not (tmp_path / "out").exists()


def test_an_unknown_consumer_is_named(fastreid_here):
    done = fastreid_here("export", "--config-file", "x", "--output", "y", "--for", "deepsort")
    assert done.returncode == 2 and "invalid choice: 'deepsort'" in done.stderr
