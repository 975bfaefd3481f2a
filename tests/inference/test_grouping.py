"""Crops and tracks become identities as a naive complete linkage groups them, and overlapping tracks stay apart."""

import itertools
import re

import numpy as np
import pytest

from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.inference import grouping
from fastreid_gdnorm.inference.grouping import agreement, group, overlapping_tracks
from fastreid_gdnorm.inference.moments import moment


def score_for(one, other):
    """Thresholds within a camera, across cameras, and with an unknown camera."""
    return {True: 0.5, False: 0.4}[one == other] if one and other else 0.45


def crops(seed, people=6, images=50):
    """Features, cameras, tracks, times and identities of images; some cameras, tracks and times are unknown."""
    rng = np.random.default_rng(seed)
    person, camera = rng.integers(people, size=images), rng.integers(3, size=images)
    features = rng.normal(size=(people, 5))[person] + 0.5 * rng.normal(size=(images, 5))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    tracks = [f"t{one}" if one % 3 else "" for one in person]
    times = [str(time) if time > 20 else "" for time in rng.integers(400, size=images)]
    cameras = ["", "hall", "01"]
    return features.astype(np.float32), [cameras[one] for one in camera], tracks, times, [f"p{one}" for one in person]


def units(cameras, tracks):
    """{unit: its images}; a unit is a track of a camera, or an image."""
    found = {}
    for place, (camera, track) in enumerate(zip(cameras, tracks)):
        found.setdefault((camera, track) if track else place, []).append(place)
    return [*found.values()]


def overlap(one, other, cameras, tracks, times):
    """Whether two units are tracks of one known camera and share a moment."""
    spans = [[float(times[place]) for place in unit if times[place]] for unit in (one, other)]
    of_tracks = tracks[one[0]] and tracks[other[0]] and cameras[one[0]] and cameras[one[0]] == cameras[other[0]]
    return bool(of_tracks and all(spans) and max(map(min, spans)) <= min(map(max, spans)))


def naive(features, cameras, tracks, times, metric):
    """Merge the two groups whose farthest units are closest, until some unit would miss its threshold."""
    features = features.astype(float)

    def distance(one, other):
        if overlap(one, other, cameras, tracks, times):
            return np.inf
        a, b = (features[unit].mean(0) for unit in (one, other))
        if metric == "euclidean":
            return score_for(cameras[one[0]], cameras[other[0]]) - 1 + ((a - b) ** 2).sum()
        return score_for(cameras[one[0]], cameras[other[0]]) - a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    groups = [[unit] for unit in units(cameras, tracks)]
    while len(groups) > 1:
        worst, i, j = min(
            (max(distance(one, other) for one in groups[i] for other in groups[j]), i, j)
            for i, j in itertools.combinations(range(len(groups)), 2)
        )
        if worst > 0:
            break
        groups[i] += groups.pop(j)
    return as_sets([sum(one, []) for one in groups])


def as_sets(groups):
    return {frozenset(one) for one in groups}


def partition(labels):
    return as_sets(np.flatnonzero(labels == label) for label in np.unique(labels))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("seed", range(5))
def test_groups_are_those_of_a_naive_complete_linkage(seed, metric):
    features, cameras, tracks, times, _ = crops(seed)
    offset = 0 if metric == "cosine" else 1  # distances of features of length 1 need lower thresholds
    labels = group(features, cameras, tracks, times, lambda *pair: score_for(*pair) - offset, metric)
    assert partition(labels) == naive(features, cameras, tracks, times, metric)
    assert 1 < len(np.unique(labels)) < len(units(cameras, tracks))
    assert [*dict.fromkeys(labels.tolist())] == [*range(labels.max() + 1)], "numbered as they come"


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_images_does_not_matter(seed):
    features, *columns, _ = crops(seed)
    order = np.random.default_rng(seed).permutation(len(features))
    moved = group(features[order], *([column[place] for place in order] for column in columns), score_for)
    assert partition(moved) == as_sets(
        [np.flatnonzero(order == place).item() for place in one]
        for one in partition(group(features, *columns, score_for))
    )


@pytest.mark.parametrize("seed", range(5))
def test_tracks_of_a_camera_that_overlap_never_share_an_identity(seed):
    features, cameras, tracks, times, _ = crops(seed)
    labels = group(features, cameras, tracks, times, lambda *_: -1.0)  # a score that all pairs reach
    found = units(cameras, tracks)
    apart = {
        (i, j)
        for i, j in itertools.combinations(range(len(found)), 2)
        if overlap(found[i], found[j], cameras, tracks, times)
    }
    assert apart and {tuple(sorted(pair)) for pair in overlapping_tracks(cameras, tracks, times)} == apart
    assert all(labels[found[i][0]] != labels[found[j][0]] for i, j in apart)
    assert len(np.unique(group(features, cameras, tracks, [""] * len(times), lambda *_: -1.0))) == 1


def test_a_track_is_one_unit_of_its_own_camera():
    features = np.float32([[1, 0], [0, 1], [0, -1], [-1, 0]])
    assert group(features, ["1", "01", "2", ""], ["a", "a", "a", "a"], [""] * 4, lambda *_: 0.99).tolist() == [
        0,
        0,
        1,
        2,
    ]
    assert group(features, [""] * 4, ["a", "a", "", ""], [""] * 4, lambda *_: 0.99).tolist() == [0, 0, 1, 2]
    assert group(features[:1], ["1"], [""], ["5"], lambda *_: 0).tolist() == [0]


def test_a_pair_whose_score_equals_the_threshold_is_one_identity():
    features = np.float32([[0.6, 0.8], [1, 0]])
    score = float(features[0] @ features[1])
    for needed, identities in ((score, 1), (np.nextafter(score, 1), 2), (9, 2)):
        labels = group(features, [""] * 2, [""] * 2, [""] * 2, lambda *_, needed=needed: needed)
        assert labels.max() + 1 == identities


@pytest.mark.parametrize(
    "earlier, later",
    [
        ("9", "10.5"),
        ("s1_000451", "s1_000460"),
        ("f0046985", "f0050000"),
        ("09:30", "13:05:07.5"),
        ("2026-11-29", "2026-11-29T00:00:01"),
        ("2026-11-29T13:05:07Z", "2026-11-29T14:05:07-01:00"),
    ],
)
def test_times_are_ordered(earlier, later):
    assert moment(earlier).recording == moment(later).recording and moment(earlier).number < moment(later).number


def test_times_of_two_recordings_are_not_compared():
    recordings = {moment(text).recording for text in ("9", "s1_000009", "s2_000009", "09:30", "2026-11-29")}
    assert len(recordings) == 5
    assert not overlapping_tracks(["1"] * 2, ["a", "b"], ["s1_000009", "s2_000009"])
    for text in "noon", "nan", "25:00", "2026-13-01":
        with pytest.raises(UserError, match=re.escape(f"time '{text}' is neither a number nor an ISO time")):
            moment(text)


def test_too_many_units_are_refused(monkeypatch):
    monkeypatch.setattr(grouping, "MOST_UNITS", 3)
    grouping.units_of([""] * 9, ["a", "b", "c"] * 3)
    with pytest.raises(UserError, match="4 images and tracks are too many"):
        grouping.units_of([""] * 4, [""] * 4)


def test_agreement_counts_pairs():
    people, labels = ["a", "a", "a", "b", "b", ""], np.array([0, 0, 1, 1, 1, 1])
    line = agreement(people, labels)
    assert line.startswith("5 images came with an identity: 50.0 % of the pairs") and "50.0 % of a person's" in line
    assert "F1 50.0, adjusted Rand index 0.167" in line
    assert agreement(["", "", "a"], labels[:3]) == ""
