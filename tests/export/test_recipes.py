"""The manual's recipes for trackers that take features, run with these trackers."""

import json
import re
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from fastreid_gdnorm import FeatureExtractor

from ..conftest import REPOSITORY
from .environments import environment

pytestmark = pytest.mark.long

PACKAGES = {
    "deep_sort_realtime": ["deep-sort-realtime==1.3.2"],
    "norfair": ["norfair==2.3.0"],
    "trackers": ["trackers==2.6.1"],
}
SIZE, GAP = (64, 32), 80  # of a person in the video, in pixels
FRAMES, AWAY = 12, 20  # before and after nobody is seen, and between


@pytest.fixture(scope="module")
def video(datasets):
    """Six people, side by side; after a while without anybody they come back, each in the place of a neighbour."""
    files = sorted((datasets / "RenderedStation" / "query").iterdir())[:6]
    height, width = SIZE
    frames, boxes = [], []
    for moved in (0, 1):
        frame = np.full((height + 40, GAP * len(files), 3), 90, np.uint8)
        places = [(GAP * (person ^ moved) + 20, 20) for person in range(len(files))]
        for (x, y), file in zip(places, files):
            frame[y : y + height, x : x + width] = cv2.resize(cv2.imread(str(file)), (width, height))
        frames.append(frame)
        boxes.append([(x, y, x + width, y + height) for x, y in places])
    when = [0] * (FRAMES + AWAY) + [1] * FRAMES
    empty = [FRAMES <= at < FRAMES + AWAY for at in range(len(when))]
    return {"frames": np.array(frames)[when], "boxes": np.array(boxes, float)[when], "empty": np.array(empty)}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_recipe_runs_and_knows_people_who_come_back(package, video, exported, tmp_path, tmp_path_factory):
    recipes = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "export.md").read_text(), re.DOTALL)
    (tmp_path / "recipe.py").write_text(recipes[list(PACKAGES).index(package)])
    (tmp_path / "logs" / "mine").mkdir(parents=True)
    (tmp_path / "logs" / "mine" / "export").symlink_to(exported)
    np.savez(tmp_path / "video.npz", **video)
    with environment(tmp_path_factory.mktemp(package), PACKAGES[package]) as python:
        script = Path(__file__).with_name("run_recipe.py")
        words = [python, script, package, "recipe.py", "video.npz", "seen.json"]
        env = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=300, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads((tmp_path / "seen.json").read_text())

    expected = FeatureExtractor(exported, order="BGR")((video["frames"][-1], video["boxes"][-1]))
    features = np.array([seen[-1][str(person)][1] for person in range(len(expected))])
    assert np.abs(features - expected).max() < 1e-5
    if package != "trackers":
        before, after = ({person: track for person, (track, _) in seen[at].items()} for at in (FRAMES - 1, -1))
        assert before == after and len(set(after.values())) == len(expected)
