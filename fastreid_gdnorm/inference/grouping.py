"""Group crops, or tracks of them, into identities: complete linkage, cut at the threshold for the same person.

results/grouping.md compares it with other linkages, HDBSCAN and k-reciprocal distances.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from ..errors import UserError
from ..image_names import canonical_camera
from .comparable import lengths_of, scores_between
from .moments import moment

MOST_UNITS = 15_000  # the matrices of their distances take about 4 GB


def group(
    features: NDArray[np.float32],
    cameras: Sequence[str],
    tracks: Sequence[str],
    times: Sequence[str],
    score_for: Callable[[str, str], float],
    metric: str = "cosine",
) -> NDArray[np.int64]:
    """Group N images into identities. Unknown cameras, tracks and times are "".

    The images of a track stay together, as a unit with their mean feature; an image without a track is a unit of its
    own. Groups are merged, those first whose least similar units are furthest above their threshold, until every pair
    of units in a group reaches the threshold and no two groups can be merged. Two tracks of one camera that overlap in
    time never come into one identity.

    Args:
        features: (N, D), of length 1 if the metric is "cosine".
        tracks: track names are unique within a camera.
        times: see :func:`moment`.
        score_for: the threshold for a pair of cameras, such as :meth:`Threshold.score_for`.
        metric: "cosine" or "euclidean".

    Returns:
        (N,), identities numbered from 0 in the order of their first images.

    Raises:
        UserError: there are more than MOST_UNITS units, or a time cannot be read.
    """
    unit = units_of(cameras, tracks)
    apart = overlapping_tracks(cameras, tracks, times)
    camera_of = np.array([canonical_camera(camera) for camera in cameras], object)[_firsts(unit)]
    distances = _beyond_threshold(_means(features, unit, metric), camera_of, score_for, metric)
    return _numbered(_clusters(distances, apart)[unit])


def units_of(cameras: Sequence[str], tracks: Sequence[str]) -> NDArray[np.int64]:
    """The unit of each image (N,), numbered from 0 in the order of their first images.

    Raises:
        UserError: there are more than MOST_UNITS.
    """
    numbers: dict[tuple[object, ...], int] = {}
    keys = [
        (canonical_camera(camera), track) if track else (place,)
        for place, (camera, track) in enumerate(zip(cameras, tracks))
    ]
    units = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
    if len(numbers) > MOST_UNITS:
        raise UserError(
            f"{len(numbers)} images and tracks are too many to compare all pairs (at most {MOST_UNITS}): give the "
            "images' tracks in a table, or group fewer at a time"
        )
    return units


def overlapping_tracks(cameras: Sequence[str], tracks: Sequence[str], times: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of units (:func:`units_of`) that are tracks of one camera and overlap in time.

    Raises:
        UserError: a track's time cannot be read.
    """
    spans: dict[tuple[str, str], dict[int, tuple[float, float]]] = {}
    for unit, camera, track, time in zip(units_of(cameras, tracks).tolist(), cameras, tracks, times):
        if camera and track and time:
            recording, now = moment(time)
            of_recording = spans.setdefault((canonical_camera(camera), recording), {})
            start, end = of_recording.get(unit, (now, now))
            of_recording[unit] = min(start, now), max(end, now)
    pairs = []
    for of_recording in spans.values():
        running: list[tuple[float, int]] = []  # tracks that have begun and not ended, as (end, unit)
        for unit, (start, end) in sorted(of_recording.items(), key=lambda item: item[1]):
            running = [(its_end, other) for its_end, other in running if its_end >= start]
            pairs += [(other, unit) for _, other in running]
            running.append((end, unit))
    return pairs


def _firsts(labels: NDArray[np.int64]) -> NDArray[np.intp]:
    """The place of the first of each label, in the order of the labels."""
    return np.unique(labels, return_index=True)[1]


def _numbered(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The labels, numbered from 0 in the order in which they first occur."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    ranks: NDArray[np.int64] = first.argsort().argsort()[inverse]
    return ranks


def _means(features: NDArray[np.float32], unit: NDArray[np.int64], metric: str) -> NDArray[np.float32]:
    """The mean feature of each unit, of length 1 under the cosine metric."""
    means: NDArray[np.float32] = np.zeros((unit.max() + 1, features.shape[1]), np.float32)
    np.add.at(means, unit, features)
    means /= np.bincount(unit)[:, None]
    if metric == "cosine":
        means /= lengths_of(means)[:, None]
    return means


def _beyond_threshold(
    features: NDArray[np.float32], cameras: NDArray[np.object_], score_for: Callable[[str, str], float], metric: str
) -> NDArray[np.float64]:
    """How far the score of each pair of units is below the threshold for their cameras, (U, U)."""
    names, of = np.unique(cameras.astype(str), return_inverse=True)
    needed = np.array([[score_for(one, other) for other in names] for one in names], np.float64)
    distances = needed[of[:, None], of]
    distances -= scores_between(features, features, metric)
    return distances


def _clusters(distances: NDArray[np.float64], apart: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Clusters of complete linkage: all distances in a cluster are at most 0, and none is of a pair in ``apart``."""
    if len(distances) < 2:
        return np.zeros(len(distances), np.int64)
    cut = -distances.min()
    distances += cut  # SciPy takes no negative distances
    if apart:
        one, other = np.transpose(apart)
        distances[one, other] = distances[other, one] = max(cut, 0) + 1
    labels: NDArray[np.int32] = fcluster(linkage(squareform(distances, checks=False), "complete"), cut, "distance")
    return labels.astype(np.int64)


def agreement(identities: Sequence[str], labels: NDArray[np.int64]) -> str:
    """A line on how well labels (N,) agree with identities (N), "" where unknown; "" if fewer than two are known."""
    from sklearn.metrics import adjusted_rand_score, pair_confusion_matrix

    known = np.array([bool(identity) for identity in identities], bool)
    if known.sum() < 2:
        return ""
    given, found = np.array(identities, str)[known], labels[known]
    (_, false), (missed, true) = pair_confusion_matrix(given, found)
    precision, recall, f1 = (
        100 * true / max(1, total) for total in (true + false, true + missed, true + (false + missed) / 2)
    )
    return (
        f"{len(given)} images came with an identity: {precision:.1f} % of the pairs that were put together are one "
        f"person, {recall:.1f} % of a person's pairs were put together (F1 {f1:.1f}, adjusted Rand index "
        f"{adjusted_rand_score(given, found):.3f})"
    )
