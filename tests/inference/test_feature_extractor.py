"""FeatureExtractor returns the features of evaluation for images in every form."""

import json
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from fastreid.data import build_reid_test_loader
from fastreid.engine import DefaultTrainer
from PIL import Image

from fastreid_gdnorm import FeatureExtractor, Gallery
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.export import export_model
from fastreid_gdnorm.inference import network, torch_network
from fastreid_gdnorm.layers import gdnorm_layers
from fastreid_gdnorm.modeling import branched
from fastreid_gdnorm.runs.run_checkpoints import load_model
from fastreid_gdnorm.runs.run_config import load_config
from fastreid_gdnorm.runs.run_folder import load_run_config
from fastreid_gdnorm.site_cameras import SiteCameras

from ..conftest import DEMO, TINY
from ..runs.toy import one_line


@pytest.fixture(scope="module")
def evaluated(toy_run):
    """The files of a test set and their features in evaluation, of length 1."""
    cfg = load_run_config(toy_run)
    loader, _ = build_reid_test_loader(cfg, dataset_name="RenderedStation")
    model = load_model(cfg).eval()
    with torch.no_grad():
        features = torch.cat([model(batch) for batch in loader])
    return [item[0] for item in loader.dataset.img_items], torch.nn.functional.normalize(features).cpu().numpy()


@pytest.fixture(scope="module")
def without_onnx(exported, tmp_path_factory):
    """The export without its ONNX file."""
    folder = tmp_path_factory.mktemp("without_onnx") / "export"
    shutil.copytree(exported, folder)
    (folder / "model.onnx").unlink()
    return folder


def test_features_equal_those_of_evaluation(toy_run, exported, without_onnx, evaluated):
    paths, expected = evaluated
    found = FeatureExtractor(toy_run, batch_size=7)(paths)
    assert found.dtype == np.float32 and np.abs(found - expected).max() <= 1e-5
    assert np.abs(FeatureExtractor(exported)(paths) - expected).max() <= 1e-4
    assert np.abs(FeatureExtractor(without_onnx)(paths) - expected).max() <= 1e-4
    assert np.abs(FeatureExtractor(exported / "model.onnx")(paths) - expected).max() <= 1e-4


@pytest.mark.parametrize("path", ["source:1", "sample:3", "weighted:0.2,0.3,0.5", "ensemble", "weighted"])
def test_threads_share_an_extractor_along_any_path(toy_run, path):
    cfg = branched(load_run_config(toy_run))
    cfg.MODEL.GDNORM.TEST_PATH = path
    pixels = np.random.default_rng(0).integers(0, 256, (4, 2, 32, 16, 3), np.uint8)
    with torch.no_grad():
        model = load_model(cfg).eval()
        expected = torch.stack([model(torch.from_numpy(batch).permute(0, 3, 1, 2).float()) for batch in pixels])
    extractor = FeatureExtractor(toy_run, path=path)
    model = extractor._network._model
    assert bool(gdnorm_layers(model)) == (path in ("ensemble", "weighted")), "a path that can be folded is folded"
    model.backbone.register_forward_pre_hook(lambda module, args: time.sleep(0.02))  # lets threads interleave
    with ThreadPoolExecutor(4) as pool:
        found = np.stack([*pool.map(extractor, pixels)])
    expected = torch.nn.functional.normalize(expected, dim=2).numpy()
    assert np.abs(found - expected).max() <= 1e-5


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_that_compute_a_batch_each_give_the_features_of_one(toy_run, exported, evaluated, monkeypatch, threads):
    paths, expected = evaluated
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    usual = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        extractor = FeatureExtractor(toy_run, batch_size=20)
        assert (extractor._network.pool is None) == (threads == 1)
        seen = []
        extractor._network._model.backbone.register_forward_pre_hook(
            lambda module, args: seen.append((threading.current_thread().name, torch.get_num_threads(), len(args[0])))
        )
        assert np.abs(extractor(paths) - expected).max() <= 1e-5
        assert {cores for _, cores, _ in seen} == {1}, "each batch is computed on one core"
        assert sum(images for *_, images in seen) == len(paths)
        assert torch.get_num_threads() == threads, "this thread keeps its number of threads"
        assert ThreadPoolExecutor(1).submit(torch.get_num_threads).result() == threads, "so do new threads"
        seen.clear()
        assert np.abs(extractor(paths[:3]) - expected[:3]).max() <= 1e-5
        assert seen == [(threading.current_thread().name, threads, 3)], "a single batch is computed on all cores"
    finally:
        torch.set_num_threads(usual)
    assert np.abs(FeatureExtractor(exported, batch_size=7)(paths) - expected).max() <= 1e-4


def test_an_exports_folder_runs_in_the_faster_of_what_is_there(exported, without_onnx, monkeypatch, tmp_path):
    def engine(folder=exported, **how):
        return FeatureExtractor(folder, **how).engine

    monkeypatch.setattr(network, "_has_gpu", lambda: False)
    assert engine() == engine(device="cpu") == "onnxruntime on cpu"
    assert engine(without_onnx) == "torch on cpu"
    with pytest.raises(UserError, match="--half needs CUDA, but the model runs on cpu"):
        engine(half=True)
    shutil.copytree(without_onnx, tmp_path / "export")
    manifest = json.loads((without_onnx / "manifest.json").read_text())
    del manifest["files"]["model.onnx"]
    (tmp_path / "export" / "manifest.json").write_text(json.dumps(manifest))
    shutil.copy(exported / "model.onnx", tmp_path / "export")
    assert engine(tmp_path / "export") == "torch on cpu", "the ONNX file is not the export's"
    monkeypatch.setattr(network, "_has_gpu", lambda: True)
    monkeypatch.setattr(torch_network.TorchNetwork, "of_export", lambda folder, device, half: Fake(device))
    assert engine(device="cpu") == "onnxruntime on cpu"
    assert (engine(), engine(device="cuda:1"), engine(half=True)) == ("torch on ", "torch on cuda:1", "torch on ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch is imported if there is a GPU")
def test_an_exports_folder_runs_without_importing_torch_and_its_engine_is_printed(exported, evaluated, tmp_path):
    words = ["extract", "--model", exported, evaluated[0][0], "--output", tmp_path / "f.npz"]
    check = (
        "import sys; from fastreid_gdnorm.cli import main; main(); assert not {'torch', 'fastreid'} & {*sys.modules}"
    )
    done = subprocess.run([sys.executable, "-c", check, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"{exported} runs in onnxruntime on cpu"


class Fake:
    """A network that stands for one on a GPU."""

    description, cameras = None, SiteCameras(())

    def __init__(self, device):
        self.engine = f"torch on {device}"


def test_a_run_and_its_exports_share_a_digest(toy_run, exported, without_onnx, tmp_path):
    models = (toy_run, exported, without_onnx, exported / "model.onnx")
    descriptions = [FeatureExtractor(model).description for model in models]
    assert len(set(descriptions)) == 1
    assert (descriptions[0].metric, descriptions[0].features) == ("cosine", 1280)
    export_model(toy_run / "config.yaml", tmp_path, "source:1")
    assert FeatureExtractor(tmp_path).description.model != descriptions[0].model


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_model_without_gdnorm_works_with_each_metric(datasets, tmp_path, metric):
    words = "MODEL.HEADS.NUM_CLASSES 5 MODEL.BACKBONE.PRETRAIN False TEST.METRIC".split()
    cfg = load_config(f"{DEMO}/baseline.yml", [*TINY, *words, metric, "OUTPUT_DIR", str(tmp_path)])
    model = DefaultTrainer.build_model(cfg).eval()
    # like a checkpoint of a model zoo, whose config names a data set that is not registered here
    torch.save({"model": model.state_dict()}, tmp_path / "somebodys.pth")
    (tmp_path / "config.yaml").write_text(cfg.dump().replace("RenderedMall", "SomebodysOwn"))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 16, 3), np.uint8)
    with torch.no_grad():
        expected = model({"images": torch.from_numpy(pixels).permute(0, 3, 1, 2).float()})
    if metric == "cosine":
        expected = torch.nn.functional.normalize(expected)
    found = FeatureExtractor(tmp_path)(pixels)
    assert np.abs(found - expected.numpy()).max() <= 1e-5 * expected.abs().max()


def test_every_form_of_images_gives_the_same_features(toy_run, evaluated, tmp_path):
    paths, expected = evaluated[0][:5], evaluated[1][:5]
    extractor = FeatureExtractor(toy_run, batch_size=2, workers=3)
    in_bgr = [cv2.imread(path) for path in paths]
    in_rgb = [image[..., ::-1] for image in in_bgr]
    for number, path in enumerate(paths):
        (tmp_path / f"{number}.jpg").symlink_to(path)
    frame = np.concatenate([np.pad(image, ((0, 200 - len(image)), (2, 1), (0, 0))) for image in in_bgr], axis=1)
    ends = np.cumsum([image.shape[1] + 3 for image in in_bgr])
    boxes = [(end - 1 - image.shape[1], 0, end - 1, image.shape[0]) for image, end in zip(in_bgr, ends)]
    forms = [paths, [Image.open(path) for path in paths], in_rgb, tmp_path, [paths[0], *in_rgb[1:]], iter(paths)]
    for images in forms:
        assert np.abs(extractor(images) - expected).max() <= 1e-5
    for images in in_bgr, (frame, np.array(boxes)):
        assert np.abs(FeatureExtractor(toy_run, order="BGR")(images) - expected).max() <= 1e-5
    assert np.abs(extractor(paths[0]) - expected[:1]).max() <= 1e-5
    assert extractor([]).shape == extractor((frame, [])).shape == (0, 1280)


def test_an_unreadable_image_is_an_error_or_is_skipped_and_reported(toy_run, evaluated, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    images = [evaluated[0][0], tmp_path / "broken.jpg", np.zeros((0, 3, 3), np.uint8), evaluated[0][1]]
    extractor = FeatureExtractor(toy_run)
    with pytest.raises(UserError, match=r"image 2: cannot read image .*broken.jpg"):
        extractor(images)
    assert np.abs(extractor(images, unreadable="skip") - evaluated[1][:2]).max() <= 1e-5
    assert [skipped.place for skipped in extractor.skipped] == [1, 2]
    assert "broken.jpg" in extractor.skipped[0].reason and "no pixels" in extractor.skipped[1].reason
    extractor(images[0])
    assert not extractor.skipped


def test_invalid_models_and_arguments_are_refused_with_a_fix(toy_run, exported, tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist: pass a run's folder"):
        FeatureExtractor("nowhere")
    with pytest.raises(UserError, match="neither a run nor an export"):
        FeatureExtractor(tmp_path)
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match=r"broken.onnx is damaged or not an ONNX file"):
        FeatureExtractor(tmp_path / "broken.onnx")
    silent = onnx.load(exported / "model.onnx")
    del silent.metadata_props[:]
    onnx.save(silent, tmp_path / "other.onnx")
    with pytest.raises(UserError, match="other.onnx does not describe its input and features"):
        FeatureExtractor(tmp_path / "other.onnx")
    for text in "{", "[]", "{}":
        (tmp_path / "manifest.json").write_text(text)
        (tmp_path / "config.yaml").write_text((exported / "config.yaml").read_text())
        with pytest.raises(UserError, match=r"manifest.json is damaged or from an older version"):
            FeatureExtractor(tmp_path)
    with pytest.raises(UserError, match="--half needs CUDA, but the model runs on cpu"):
        FeatureExtractor(toy_run, device="cpu", half=True)
    with pytest.raises(UserError, match="--device must be cpu, cuda or cuda:N; got 'gpu'"):
        FeatureExtractor(toy_run, device="gpu")
    with pytest.raises(UserError, match="order must be RGB or BGR"):
        FeatureExtractor(toy_run, order="GBR")


@pytest.fixture(scope="module")
def diverged(toy_run, tmp_path_factory):
    """The toy run with NaN weights, and an empty gallery of it."""
    folder = tmp_path_factory.mktemp("diverged") / "run"
    shutil.copytree(toy_run, folder)
    checkpoint = folder / (folder / "last_checkpoint").read_text()
    content = torch.load(checkpoint, weights_only=False)
    next(values for values in content["model"].values() if values.ndim == 4)[0] = float("nan")  # a convolution's
    torch.save(content, checkpoint)
    Gallery(FeatureExtractor(folder).description, str(folder)).save(folder / "site")
    return folder


@pytest.mark.parametrize(
    "words, written",
    [
        ("index --model {0} {1} --gallery {2}", "{2}/gallery.json"),
        ("search --gallery {0}/site {1} --html {2}/found.html", "{2}/found.html"),
        ("extract --model {0} {1} --output {2}/f.npz", "{2}/f.npz"),
        ("calibrate --model {0} {1} --false-accept 0.5", "{0}/threshold.json"),
        ("adapt --model {0} --images {1} --output {2}", "{2}/posterior.npz"),
        ("eval --config-file {0}/config.yaml --output {2} OUTPUT_DIR {0}", "{2}/test_results.json"),
    ],
    ids=lambda words: words.split()[0],
)
def test_nan_features_end_every_command_with_one_line(diverged, datasets, tmp_path, fastreid_here, words, written):
    images = datasets / "RenderedStation" / "query"
    words, written = (text.format(diverged, images, tmp_path) for text in (words, written))
    said = one_line(fastreid_here(*words.split()))
    assert f"no usable features for {sorted(images.iterdir())[0]} (NaN" in said and str(diverged) in said
    assert not Path(written).exists()


def test_exporting_a_diverged_model_is_refused(diverged, tmp_path, fastreid_here):
    said = one_line(fastreid_here("export", "--config-file", diverged / "config.yaml", "--output", tmp_path / "export"))
    assert f"{diverged / 'model_final.pth'} gives no usable features for random pictures" in said


def test_an_image_whose_features_are_all_zero_is_an_error(toy_run, datasets, monkeypatch, tmp_path):
    extractor = FeatureExtractor(toy_run, batch_size=2)
    images = sorted((datasets / "RenderedStation" / "query").iterdir())[:4]
    (tmp_path / "text.jpg").write_text("no picture")
    alive = extractor._network

    class Dead:
        """The network, but with features of zeros for the last image of each batch."""

        description, prepare, threads, pool = alive.description, alive.prepare, 1, None

        def __call__(self, batch, cameras):
            features = alive(batch, cameras)
            features[-1] = 0
            return features

    extractor._network = Dead()
    with pytest.raises(UserError, match=f"no usable features for {images[0]}"):
        extractor([tmp_path / "text.jpg", *images], unreadable="skip")
    with pytest.raises(UserError, match="no usable features for image 2 "):
        extractor(np.zeros((3, 32, 16, 3), np.uint8))
