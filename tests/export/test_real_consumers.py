"""Exports run by the trackers' own code: BoxMOT, Ultralytics, and stock fast-reid called as BoT-SORT does."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fastreid_gdnorm.consumers import CONSUMERS
from fastreid_gdnorm.export.resizing import resize_by_opencv, resize_by_torch
from fastreid_gdnorm.runs.run_checkpoints import load_model
from fastreid_gdnorm.runs.run_folder import load_run_config

from .environments import environment

pytestmark = pytest.mark.long

SCRIPT = Path(__file__).with_name("real_consumer.py")
SIZE = (32, 16)  # of the toy run
ROWS, COLUMNS, CELL = 8, 8, (300, 150)
# including packages that the trackers would otherwise install at first use
PINS = {
    "boxmot": ("boxmot==25.0.0", "onnxruntime==1.24.3"),
    "ultralytics": ("ultralytics==8.4.190", "onnxruntime", "lapx"),
}


@pytest.fixture(scope="module")
def scene(datasets):
    """A BGR picture (H, W, 3) of 64 rendered people in several sizes, and their boxes (64, 4)."""
    rng = np.random.default_rng(0)
    files = sorted(datasets.glob("Rendered*/*/*.jpg"))
    canvas = rng.integers(0, 256, (ROWS * CELL[0], COLUMNS * CELL[1], 3), np.uint8)
    canvas, boxes = cv2.GaussianBlur(canvas, (0, 0), 9), []
    for cell, file in enumerate(rng.choice(np.array(files, str), ROWS * COLUMNS, replace=False)):
        width, height = (int(rng.integers(low, high)) for low, high in ((24, 120), (60, 260)))
        y, x = CELL[0] * (cell // COLUMNS) + 20, CELL[1] * (cell % COLUMNS) + 15
        canvas[y : y + height, x : x + width] = cv2.resize(cv2.imread(file), (width, height))
        boxes.append((x, y, x + width, y + height))
    return canvas, np.array(boxes)


@pytest.fixture(scope="module")
def trained(toy_run):
    """The trained model: maps RGB images (N, H, W, 3) from 0 to 255 to features of length 1."""
    model = load_model(load_run_config(toy_run)).eval().double()

    @torch.no_grad()
    def features(images):
        found = model({"images": torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).astype(float))})
        return torch.nn.functional.normalize(found).numpy()

    return features


def crops(scene, gain=1.0, pad=0):
    """RGB crops of the boxes, enlarged by the factor ``gain`` and then by ``pad`` pixels in width and height."""
    image, boxes = scene
    for x1, y1, x2, y2 in boxes:
        (cx, cy), (w, h) = ((x1 + x2) / 2, (y1 + y2) / 2), ((x2 - x1) * gain + pad, (y2 - y1) * gain + pad)
        left, top, right, bottom = (int(value) for value in (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
        yield np.ascontiguousarray(image[max(0, top) : bottom, max(0, left) : right, ::-1])


# ultralytics.utils.plotting.save_one_box enlarges boxes like this
EXPECTED = {
    "boxmot": lambda scene: [resize_by_opencv(crop, SIZE) for crop in crops(scene)],
    "ultralytics": lambda scene: [resize_by_torch(crop, SIZE) for crop in crops(scene, gain=1.02, pad=10)],
}


@pytest.fixture(params=PINS)
def consumer(request, tmp_path_factory):
    """(name, Python of an environment with that tracker)."""
    name = request.param
    with environment(tmp_path_factory.mktemp(name), PINS[name]) as python:
        yield name, python


def test_trackers_get_the_trained_models_features(consumer, exported, scene, trained, tmp_path):
    name, python = consumer
    cv2.imwrite(str(tmp_path / "scene.png"), scene[0])
    np.save(tmp_path / "boxes.npy", scene[1])

    def features(file):
        words = [python, SCRIPT, name, exported / file, "scene.png", "boxes.npy", "features.npy"]
        done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        return np.load(tmp_path / "features.npy")

    found, expected = features(CONSUMERS[name].file), trained(EXPECTED[name](scene))
    cosines = (found * expected).sum(axis=1)
    print(f"{name}: least cosine {cosines.min():.6f}; between people {(found @ found.T).min():.3f} at least")
    assert len(cosines) == 64 and cosines.min() >= 0.999
    # BoxMOT would normalise these twice; Ultralytics not at all
    others = [CONSUMERS[other].file for other in PINS if other != name]
    for wrong in *others, "model.onnx":
        assert (features(wrong) * expected).sum(axis=1).min() < 0.999


def test_stock_fastreid_called_as_by_bot_sort_gives_the_trained_models_features(exported, scene, trained, tmp_path):
    resized = [resize_by_opencv(crop, SIZE) for crop in crops(scene)]
    np.save(tmp_path / "crops.npy", np.stack(resized))
    stock = Path(__file__).with_name("stock_fastreid.py")
    words = [sys.executable, stock, exported, tmp_path / "crops.npy", tmp_path / "stock.npz"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    found, expected = np.load(tmp_path / "stock.npz")["features"], trained(resized)
    assert (found * expected).sum(axis=1).min() >= 0.999
