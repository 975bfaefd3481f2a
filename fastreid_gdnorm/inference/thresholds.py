"""The same person, or unknown? A threshold for scores, from labelled images that the model was not trained on."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..console import say
from ..disk import replacing
from ..errors import UserError
from ..site_cameras import same_camera
from .description import Description, other_version
from .pairs import ACROSS, FEWEST_PEOPLE, UNKNOWN, WITHIN, Pairs, Rate, accept_rate, lowest_score
from .records import Record

FILE, VERSION = "threshold.json", 2  # beside the model
MOST_IMAGES = 4000  # of which all pairs are looked at: 8 million
ENOUGH_PAIRS = 10  # of different people, called the same
BLOCK = 512  # images of which the pairs with all others are in memory at once


class OfCameras(NamedTuple):
    """What holds for pairs within a camera, or for those across cameras.

    Args:
        different, same: how many pairs there are of different people and of one person.
        common_false, common_true: the shares of these that reach the score of all pairs; 0 of none.
        score: the one of these pairs alone, None if too few tell it.
        false_accept, true_accept: at that score; the latter is None if too few people have a pair with themselves.
    """

    different: int
    same: int
    common_false: float
    common_true: float
    score: float | None = None
    false_accept: Rate | None = None
    true_accept: Rate | None = None


class Threshold(NamedTuple):
    """The score from which on two images are called the same person.

    A score is the cosine similarity, or minus the squared Euclidean distance, as the model compares.

    Args:
        model: the digest of the model.
        metric: "cosine" or "euclidean".
        score: the lowest at which no more than ``asked`` of the pairs of different people are called the same.
        asked: the false-accept rate that was asked for.
        false_accept: of pairs of different people, the share called the same.
        true_accept: of pairs of one person, of two cameras where these are known, the share called the same.
        different, same: how many pairs these are shares of.
        images, identities: how many the pairs are of.
        data: the name of the labelled images.
        within, across: for pairs of one camera and of two; None in the file of an earlier version.
    """

    model: str
    metric: str
    score: float
    asked: float
    false_accept: Rate
    true_accept: Rate
    different: int
    same: int
    images: int
    identities: int
    data: str
    within: OfCameras | None = None
    across: OfCameras | None = None

    def score_for(self, camera: str, other: str) -> float:
        """The score that counts for a pair of images of these cameras, as far as :func:`same_camera` can tell."""
        of_cameras = {True: self.within, False: self.across, None: None}[same_camera(camera, other)]
        return of_cameras.score if of_cameras and of_cameras.score is not None else self.score


def choose_images(records: Sequence[Record]) -> list[Record]:
    """Those of known identity; if they are more than MOST_IMAGES, all of every so many identities."""
    labelled = [record for record in records if record.identity]
    identities = sorted({record.identity for record in labelled})
    every = -(-len(labelled) // MOST_IMAGES)
    chosen = set(identities[:: max(1, every)])
    return [record for record in labelled if record.identity in chosen]


def label_pairs(features: NDArray[np.float32], identities: Sequence[str], cameras: Sequence[str], metric: str) -> Pairs:
    """All pairs of images.

    Args:
        features: (N, D).
        identities, cameras: N; a camera that is not known is empty.
        metric: "cosine" or "euclidean".
    """
    names, labels = np.unique(np.asarray(identities, str), return_inverse=True)
    labels, of_camera = labels.astype(np.int32), np.asarray(cameras, str)
    squares, is_known = (features**2).sum(axis=1), of_camera != ""
    parts = []
    for start in range(0, len(features), BLOCK):
        rows = slice(start, start + BLOCK)
        scores = features[rows] @ features.T
        if metric == "euclidean":
            scores = 2 * scores - squares[rows, None] - squares
        here, there = np.nonzero(np.arange(len(features))[rows, None] < np.arange(len(features)))
        one = here + start
        of_cameras = np.where(of_camera[one] == of_camera[there], WITHIN, ACROSS)
        of_cameras[~(is_known[one] & is_known[there])] = UNKNOWN
        parts.append((scores[here, there], labels[one], labels[there], of_cameras.astype(np.int8)))
    scores, first, second, of_cameras = (np.concatenate(column) for column in zip(*parts))
    return Pairs(scores, first, second, len(names), of_cameras)


def check_enough(pairs: Pairs, asked: float, data: str) -> None:
    """That pairs tell a threshold; their scores do not matter.

    Raises:
        UserError: ``asked`` is no rate, or there are too few people or pairs.
    """
    if not 0 < asked < 1:
        raise UserError(f"--false-accept is between 0 and 1, got {asked}")
    counted = pairs.counted()
    different, people = int((~counted.is_same).sum()), counted.people(same=True)
    if not people:
        raise UserError(f"{data} has no two images of one person in different cameras: nothing to find a threshold by")
    if people < FEWEST_PEOPLE:
        raise UserError(
            f"{data} has {people} people with two images in different cameras, too few to tell how the rates vary "
            f"between people, which takes {FEWEST_PEOPLE}; label more people"
        )
    if different * asked < ENOUGH_PAIRS:
        raise UserError(
            f"{data} has {different} pairs of different people: of {asked:g} of them one cannot tell, which takes "
            f"{int(np.ceil(ENOUGH_PAIRS / asked))}; label more images, or ask for a higher --false-accept"
        )


def find_threshold(pairs: Pairs, asked: float, description: Description, images: int, data: str) -> Threshold:
    """The lowest score at which the pairs of different people are called the same no more often than ``asked``.

    Raises:
        UserError: as :func:`check_enough`.
    """
    check_enough(pairs, asked, data)
    counted = pairs.counted()
    score, same = lowest_score(counted, asked), int(counted.is_same.sum())
    return Threshold(
        description.model,
        description.metric,
        score,
        asked,
        accept_rate(counted, score, same=False),
        accept_rate(counted, score, same=True),
        len(counted.scores) - same,
        same,
        images,
        pairs.identities,
        data,
        _of_cameras(pairs.of_cameras(WITHIN), asked, score),
        _of_cameras(pairs.of_cameras(ACROSS), asked, score),
    )


def _of_cameras(pairs: Pairs, asked: float, common: float) -> OfCameras:
    is_same, reaches = pairs.is_same, pairs.scores >= np.float32(common)
    different, same = int((~is_same).sum()), int(is_same.sum())
    false, true = (float(reaches[of].sum() / max(1, of.sum())) for of in (~is_same, is_same))
    found = OfCameras(different, same, false, true)
    if different * asked < ENOUGH_PAIRS or pairs.people(same=False) < FEWEST_PEOPLE:
        return found
    score = lowest_score(pairs, asked)
    true_accept = accept_rate(pairs, score, same=True) if pairs.people(same=True) >= FEWEST_PEOPLE else None
    return found._replace(score=score, false_accept=accept_rate(pairs, score, same=False), true_accept=true_accept)


def save_threshold(folder: Path, threshold: Threshold) -> None:
    """Write a threshold into threshold.json beside a model, among those of other models or paths."""
    thresholds = {**read_thresholds(folder), threshold.model: threshold}
    content = {"version": VERSION, "thresholds": [_to_json(one) for one in thresholds.values()]}
    with replacing(folder / FILE) as part:
        part.write_text(json.dumps(content, indent=2) + "\n")


def read_thresholds(folder: Path) -> dict[str, Threshold]:
    """{digest of a model along a path: its threshold} of a folder; {} if it has none.

    Raises:
        UserError: the file is damaged, or of a later version.
    """
    file = folder / FILE
    if not file.exists():
        return {}
    try:
        content: dict[str, Any] = json.loads(file.read_text())
        if content.get("version", VERSION) > VERSION:
            raise UserError(f"{file} is of version {content['version']}, this is for {VERSION}: calibrate again")
        thresholds = map(_from_json, content.get("thresholds", [content]))  # an earlier version had one
        return {threshold.model: threshold for threshold in thresholds}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{file} is damaged ({error}): remove it and run fastreid calibrate again") from error


def read_threshold(model: str | Path, description: Description, *others: Path) -> Threshold | None:
    """The threshold of a model, or None; if there are thresholds, but none that fits, a line says why.

    Args:
        model: a folder, or an ONNX file; the threshold is beside it.
        others: more folders to look in.
    """
    reasons = []
    for folder in (beside(model), *others):
        try:
            thresholds = read_thresholds(folder)
        except UserError as error:
            reasons.append(str(error))
            continue
        if description.model in thresholds:
            return thresholds[description.model]
        reasons += [
            f"{folder / FILE} is of model {one[:16]}, and this is model {description.model[:16]}: calibrate this one, "
            f"along its path and at its site{other_version(one, 'calibrate')}"
            for one in list(thresholds)[-1:]
        ]
    if reasons:
        say(f"matches are not called same or unknown: {'; '.join(reasons)}")
    return None


def beside(model: str | Path) -> Path:
    """The folder of a model: its own, or the one that its ONNX file is in."""
    path = Path(model)
    return path if path.is_dir() else path.parent


def figure_of(threshold: Threshold) -> str:
    """The name of its figure, of which each model and path has its own."""
    return f"threshold-{threshold.model[-8:]}.png"


def _to_json(value: Any) -> Any:
    """Named tuples as dicts."""
    return {key: _to_json(one) for key, one in value._asdict().items()} if hasattr(value, "_asdict") else value


def _from_json(data: dict[str, Any]) -> Threshold:
    of_cameras = {
        kind: OfCameras(**_with_rates(data[kind])) for kind in ("within", "across") if data.get(kind) is not None
    }
    threshold = Threshold(**{**_with_rates(data), **of_cameras})
    own = [found.score for found in of_cameras.values() if found.score is not None]
    numbers = [threshold.score, *own, *threshold.false_accept]
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"not all of {numbers} are finite")
    return threshold


def _with_rates(data: dict[str, Any]) -> dict[str, Any]:
    rates = {key: Rate(**data[key]) for key in ("false_accept", "true_accept") if data[key] is not None}
    return {**data, **rates}
