"""Camera offsets equal naive loops in double precision, and shrink by how much information n images carry."""

import io
import math

import numpy as np
import pytest

from fastreid_gdnorm import CameraOffsets
from fastreid_gdnorm.errors import UserError


def unit(vector):
    length = math.sqrt(sum(float(value) ** 2 for value in vector))
    return [float(value) / length for value in vector]


def naive(features, cameras):
    """({camera: (weight, offset)}, mean of all cameras), by loops over images, cameras and dimensions."""
    of = {}
    for feature, camera in zip(features, cameras):
        if camera:
            of.setdefault(camera, []).append(unit(feature))
    width, images, count = len(features[0]), sum(map(len, of.values())), len(of)
    means = {c: [sum(x[d] for x in xs) / len(xs) for d in range(width)] for c, xs in of.items()}
    overall = [sum(x[d] for xs in of.values() for x in xs) / images for d in range(width)]
    within = sum((x[d] - means[c][d]) ** 2 for c, xs in of.items() for x in xs for d in range(width))
    between = sum(len(xs) * (means[c][d] - overall[d]) ** 2 for c, xs in of.items() for d in range(width))
    spread = 0.0
    if count > 1 and images > count:
        variance = within / (images - count)
        typical = (images - sum(len(xs) ** 2 for xs in of.values()) / images) / (count - 1)
        spread = max(0.0, (between / (count - 1) - variance) / typical)
    if spread:
        counted = {c: 1 / (spread + variance / len(xs)) for c, xs in of.items()}
        weights = {c: spread / (spread + variance / len(xs)) for c, xs in of.items()}
    else:
        counted, weights = {c: len(xs) for c, xs in of.items()}, dict.fromkeys(of, 0.0)
    mean = [sum(counted[c] * means[c][d] for c in of) / sum(counted.values()) for d in range(width)]
    shrunk = {c: [mean[d] + weights[c] * (means[c][d] - mean[d]) for d in range(width)] for c in of}
    return {c: (weights[c], shrunk[c]) for c in of}, mean


def follow(features, cameras, expected):
    """Features less the offsets from :func:`naive`."""
    offsets, mean = expected
    rows = []
    for feature, camera in zip(features, cameras):
        offset = offsets[camera][1] if camera in offsets else mean
        rows.append(unit([a - b for a, b in zip(unit(feature), offset)]))
    return np.array(rows)


def random_features(counts, shift=0.5, width=12, seed=0):
    """Random features for ``counts`` images of each camera, with random lengths; ``shift`` separates the cameras."""
    rng = np.random.default_rng(seed)
    cameras = [camera for camera, n in counts.items() for _ in range(n)]
    apart = {camera: shift * rng.normal(size=width) for camera in dict.fromkeys(cameras)}
    rows = [(2 + rng.normal(size=width) + apart[camera]) * rng.uniform(0.1, 9) for camera in cameras]
    order = rng.permutation(len(rows))
    return np.array(rows, np.float32)[order], [cameras[place] for place in order]


@pytest.mark.parametrize(
    "counts, shift",
    [
        ({"a": 20, "b": 20, "c": 20}, 0.5),
        ({"a": 40, "b": 3, "c": 1, "": 5}, 0.5),
        ({"a": 1, "b": 1, "c": 1}, 0.5),  # one image per camera does not show how images of one camera vary
        ({"a": 9}, 0.5),
        ({"a": 3, "b": 3}, 0.0),  # cameras that differ no more than by chance
    ],
)
def test_offsets_equal_naive_loops(counts, shift):
    features, cameras = random_features(counts, shift)
    offsets = CameraOffsets.from_features(features, cameras)
    expected = naive(features, cameras)
    names, images, weights, values = offsets.estimate
    assert dict(zip(names, images)) == {camera: n for camera, n in counts.items() if camera}
    for name, weight, value in zip(names, weights, values):
        assert weight == pytest.approx(expected[0][name][0], abs=1e-9)
        assert np.allclose(value, expected[0][name][1], atol=1e-6)
    assert np.allclose(values[-1], expected[1], atol=1e-6)
    others, of = random_features({**counts, "a": 4, "b": 4, "elsewhere": 2, "": 2}, shift, seed=1)
    found = offsets(others, of)
    assert found.dtype == np.float32 and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert np.allclose(found, follow(others, of, expected), atol=1e-5)


def test_with_equally_many_images_weights_are_james_and_steins():
    features, cameras = random_features({"a": 15, "b": 15, "c": 15, "d": 15})
    x = np.array([unit(row) for row in features])
    means = np.array([x[[of == camera for of in cameras]].mean(0) for camera in "abcd"])
    within = sum(np.square(row - means["abcd".index(camera)]).sum() for row, camera in zip(x, cameras)) / (60 - 4)
    between = np.square(means - means.mean(0)).sum() / 3
    weights = CameraOffsets.from_features(features, cameras).estimate.weights
    assert np.allclose(weights, 1 - within / 15 / between) and 0.5 < weights[0] < 1


def test_shrunk_means_are_nearer_the_truth_than_raw_means_or_one_common_mean():
    rng = np.random.default_rng(0)
    errors = {"shrunk": 0.0, "raw": 0.0, "one": 0.0}
    for _ in range(20):
        truth = np.eye(1, 30)[0] * 5 + 0.5 * rng.normal(size=(5, 30))
        images = np.array([camera + 2 * rng.normal(size=(8, 30)) for camera in truth])
        lengths = np.linalg.norm(images, axis=2, keepdims=True)
        many = np.array([camera + 2 * rng.normal(size=(4000, 30)) for camera in truth])
        target = (many / np.linalg.norm(many, axis=2, keepdims=True)).mean(1)
        raw = (images / lengths).mean(1)
        shrunk = CameraOffsets.from_features(images.reshape(-1, 30), np.repeat(range(5), 8)).estimate.offsets[:-1]
        for name, found in (("shrunk", shrunk), ("raw", raw), ("one", np.broadcast_to(raw.mean(0), raw.shape))):
            errors[name] += np.square(found - target).sum()
    assert errors["shrunk"] < 0.9 * errors["raw"] and errors["shrunk"] < 0.9 * errors["one"], errors


def test_spellings_of_a_camera_are_one_camera():
    features, cameras = random_features({"1": 6, "2": 6})
    offsets = CameraOffsets.from_features(features, [camera.replace("1", " 01") for camera in cameras])
    assert offsets.cameras.names == ("1", "2")
    written = ["1", "c1", "cam-1", "Camera 01", "2", "1.0"]
    found = offsets(features[:6], written)
    assert np.array_equal(found, offsets(features[:6], ["1", "1", "1", "1", "2", "1"]))
    assert np.array_equal(found, offsets(features[:6], np.array([1, 1, 1, 1, 2, 1])))


def test_saved_offsets_are_loaded_and_damaged_files_and_bad_input_are_refused(tmp_path):
    features, cameras = random_features({"tor süd": 6, "2": 6})
    offsets = CameraOffsets.from_features(features, cameras, "m" * 64, [3, 2**63])
    with open(tmp_path / "offsets.npz", "wb") as stream:
        offsets.save(stream)
    loaded = CameraOffsets.load(tmp_path / "offsets.npz", "site")
    assert np.array_equal(loaded(features, cameras), offsets(features, cameras)) and loaded.digest() == offsets.digest()
    assert loaded.pictures.tolist() == [3, 2**63] and loaded.model == "m" * 64 and loaded.site == "site"
    loaded.check_model("m" * 64)
    with pytest.raises(
        UserError, match="site site: its offsets were learned with model mmmm.*, but this is model xxxx"
    ):
        loaded.check_model("x" * 64)
    arrays = dict(np.load(tmp_path / "offsets.npz"))
    later, short = io.BytesIO(), io.BytesIO()
    np.savez(later, **{**arrays, "about": np.array('{"version": 9, "model": ""}')})
    np.savez(short, **{**arrays, "offsets": arrays["offsets"][1:]})
    cut = (tmp_path / "offsets.npz").read_bytes()[:200]
    for damaged in later.getvalue(), short.getvalue(), cut, b"":
        with pytest.raises(UserError, match="site site .*: run fastreid adapt again"):
            CameraOffsets.load(io.BytesIO(damaged), "site")
    for given, of, message in [
        (features[:1], ["1"], "at least two images with a known camera, .*; got 1"),
        (features[:2], ["", ""], "at least two images with a known camera, .*; got 0"),
        (features[:2], ["1"], "got 1 cameras for 2 features"),
        (np.zeros((2, 3)), ["1", "1"], "feature 0 of 2 has no direction"),
        (np.zeros(3), ["1"], r"features must have shape \(N, D\)"),
    ]:
        with pytest.raises(UserError, match=message):
            CameraOffsets.from_features(given, of)
    with pytest.raises(
        UserError, match=r"features of shape \(N, 12\) and N cameras; got shape \(2, 12\) and 1 cameras"
    ):
        offsets(features[:2], ["2"])
    alone = CameraOffsets.from_features(np.array([[1, 0], [1, 0]], float), ["1", "1"])
    with pytest.raises(UserError, match="feature 0 of 1 has no direction: .* equal to its camera's offset"):
        alone(np.array([[2.0, 0.0]]), ["1"])
