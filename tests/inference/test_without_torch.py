"""Inference in an environment without torch and fast-reid."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from fastreid_gdnorm import FeatureExtractor, Gallery

from ..conftest import REPOSITORY

NEEDED = ("numpy", "onnxruntime", "faiss-cpu", "pillow", "tqdm", "tabulate")
CALIBRATING = ("matplotlib", "scikit-learn")


@pytest.fixture(scope="module")
def without_torch(tmp_path_factory):
    """A function that runs ``fastreid`` in an environment without torch and fast-reid."""
    folder = tmp_path_factory.mktemp("without_torch")
    python = folder / "env" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
    done = subprocess.run([python, "-m", "pip", "install", "-q", *NEEDED, *CALIBRATING], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    def call(*words):
        words = [python, "-m", "fastreid_gdnorm", *map(str, words)]
        return subprocess.run(words, capture_output=True, text=True, env=env, cwd=folder, timeout=120)

    yield call
    shutil.rmtree(folder)


@pytest.mark.long
def test_an_exports_folder_is_enough_for_inference(without_torch, exported, toy_run, datasets, tmp_path):
    people, model = datasets / "RenderedStation", tmp_path / "export"
    shutil.copytree(exported, model)
    for words in (
        ["index", "--model", model, people / "bounding_box_test", "--gallery", tmp_path / "site"],
        ["calibrate", "--model", model, people / "query", "--false-accept", 0.5],
        ["search", "--gallery", tmp_path / "site", people / "query", "--html", tmp_path / "found.html"],
        ["extract", "--model", model / "model.onnx", people / "query", "--output", tmp_path / "f.npz"],
        ["group", "--model", model, people / "query", "--output", tmp_path / "identities.csv"],
        ["adapt", "--model", model, people / "bounding_box_test", "--output", tmp_path / "adapted"],
        ["calibrate", "--model", model, "--site", tmp_path / "adapted", people / "query", "--false-accept", 0.5],
    ):
        done = without_torch(*words)
        assert done.returncode == 0, done.stderr
    assert "called the same person" in (tmp_path / "found.html").read_text()
    expected = FeatureExtractor(toy_run)(people / "query")
    assert np.abs(np.load(tmp_path / "f.npz")["features"] - expected).max() <= 1e-4
    assert (
        np.abs(
            Gallery.load(tmp_path / "site").features() - FeatureExtractor(toy_run)(people / "bounding_box_test")
        ).max()
        <= 1e-4
    )


@pytest.mark.long
def test_a_missing_torch_is_reported_in_one_line(without_torch, exported, toy_run, datasets, tmp_path):
    shutil.copytree(exported, tmp_path / "export")
    (tmp_path / "export" / "model.onnx").unlink()
    images = datasets / "RenderedStation" / "query"
    for words, message in [
        (
            ["extract", "--model", toy_run, images],
            "is a run, which needs torch and fastreid: install them, or export it",
        ),
        (
            ["extract", "--model", tmp_path / "export", images],
            "has no model.onnx: export with --onnx, or install torch",
        ),
        (["datasets"], "needs fastreid, which is not installed"),
    ]:
        done = without_torch(*words, *["--output", tmp_path / "f.npz"][: 2 * (words[0] == "extract")])
        assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
