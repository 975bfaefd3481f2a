"""Thresholds: the score above which two images count as the same person, found from labelled images."""

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
from .comparable import scores_between
from .description import Description, other_version
from .pairs import ACROSS, MIN_PEOPLE, UNKNOWN, WITHIN, Pairs, Rate, accept_rate, lowest_score
from .records import Record

FILE, VERSION = "threshold.json", 2  # lies beside the model
MAX_IMAGES = 4000  # with more, some identities are left out; 4,000 images make 8 million pairs
MIN_FALSE_ACCEPTS = 10  # false accepts needed for an estimate of the false-accept rate
BLOCK = 512  # images compared with all others at a time


class CameraThreshold(NamedTuple):
    """Results for the pairs within a camera, or for the pairs across cameras.

    Args:
        different, same: number of pairs of different people and of one person.
        common_false, common_true: shares of these that reach the common threshold for all pairs; 0 without pairs.
        score: the threshold for these pairs alone, None if there are too few pairs.
        false_accept, true_accept: rates at ``score``; ``true_accept`` is None if too few people have several images.
    """

    different: int
    same: int
    common_false: float
    common_true: float
    score: float | None = None
    false_accept: Rate | None = None
    true_accept: Rate | None = None


class Threshold(NamedTuple):
    """The score above which two images count as the same person.

    A score is the cosine similarity or minus the squared Euclidean distance, by the model's metric. A pair whose score
    equals the threshold counts as the same person.

    Args:
        model: digest of the model.
        metric: "cosine" or "euclidean".
        score: the lowest threshold whose false-accept rate is at most ``asked``.
        asked: the requested false-accept rate.
        false_accept: share of the pairs of different people that reach the threshold.
        true_accept: share of the pairs of one person that reach it, without pairs known to be from one camera.
        different, same: numbers of pairs behind ``false_accept`` and ``true_accept``.
        images, identities: numbers of labelled images and of identities.
        data: name of the labelled images.
        within, across: results within a camera and across cameras; None in files of an earlier version.
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
    within: CameraThreshold | None = None
    across: CameraThreshold | None = None

    def score_for(self, camera: str, other: str) -> float:
        """The threshold for a pair of images from these cameras, by whether :func:`same_camera` calls them the same."""
        of_cameras = {True: self.within, False: self.across, None: None}[same_camera(camera, other)]
        return of_cameras.score if of_cameras and of_cameras.score is not None else self.score


def choose_images(records: Sequence[Record]) -> list[Record]:
    """The images of known identity; if there are more than MAX_IMAGES, all images of every n-th identity."""
    labelled = [record for record in records if record.identity]
    identities = sorted({record.identity for record in labelled})
    every = -(-len(labelled) // MAX_IMAGES)
    chosen = set(identities[:: max(1, every)])
    return [record for record in labelled if record.identity in chosen]


def label_pairs(features: NDArray[np.float32], identities: Sequence[str], cameras: Sequence[str], metric: str) -> Pairs:
    """Form all pairs of images.

    Args:
        features: (N, D).
        identities, cameras: of the N images; an unknown camera is "".
        metric: "cosine" or "euclidean".
    """
    names, labels = np.unique(np.asarray(identities, str), return_inverse=True)
    labels, camera_of = labels.astype(np.int32), np.asarray(cameras, str)
    is_known = camera_of != ""
    parts = []
    for start in range(0, len(features), BLOCK):
        rows = slice(start, start + BLOCK)
        scores = scores_between(features[rows], features, metric)
        row, other = np.nonzero(np.arange(len(features))[rows, None] < np.arange(len(features)))
        one = row + start
        kinds = np.where(camera_of[one] == camera_of[other], WITHIN, ACROSS)
        kinds[~(is_known[one] & is_known[other])] = UNKNOWN
        parts.append((scores[row, other], labels[one], labels[other], kinds.astype(np.int8)))
    scores, first, second, kinds = (np.concatenate(column) for column in zip(*parts))
    return Pairs(scores, first, second, len(names), kinds)


def check_enough(pairs: Pairs, asked: float, data: str) -> None:
    """Check that there are enough pairs to find a threshold; their scores are ignored.

    Args:
        asked: the requested false-accept rate.
        data: name of the labelled images, for errors.

    Raises:
        UserError: ``asked`` is not between 0 and 1, or there are too few people or pairs.
    """
    if not 0 < asked < 1:
        raise UserError(f"--false-accept must be between 0 and 1; got {asked}")
    counted = pairs.counted()
    different, people = int((~counted.is_same).sum()), counted.people(same=True)
    if not people:
        raise UserError(
            f"{data} has nobody with images from two cameras: label at least {MIN_PEOPLE} people in two cameras each"
        )
    if people < MIN_PEOPLE:
        raise UserError(
            f"{data} has only {people} people with images from two cameras; the rates' confidence intervals need "
            f"{MIN_PEOPLE}: label more people"
        )
    if different * asked < MIN_FALSE_ACCEPTS:
        raise UserError(
            f"{data} has {different} pairs of different people, too few for a false-accept rate of {asked:g}, which "
            f"needs {int(np.ceil(MIN_FALSE_ACCEPTS / asked))}: label more images, or raise --false-accept"
        )


def find_threshold(pairs: Pairs, asked: float, description: Description, images: int, data: str) -> Threshold:
    """Find the lowest threshold whose false-accept rate is at most ``asked``.

    Raises:
        UserError: see :func:`check_enough`.
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
        _camera_threshold(pairs.of_cameras(WITHIN), asked, score),
        _camera_threshold(pairs.of_cameras(ACROSS), asked, score),
    )


def _camera_threshold(pairs: Pairs, asked: float, common: float) -> CameraThreshold:
    is_same, reaches = pairs.is_same, pairs.scores >= np.float32(common)
    different, same = int((~is_same).sum()), int(is_same.sum())
    false, true = (float(reaches[of].sum() / max(1, of.sum())) for of in (~is_same, is_same))
    found = CameraThreshold(different, same, false, true)
    if different * asked < MIN_FALSE_ACCEPTS or pairs.people(same=False) < MIN_PEOPLE:
        return found
    score = lowest_score(pairs, asked)
    true_accept = accept_rate(pairs, score, same=True) if pairs.people(same=True) >= MIN_PEOPLE else None
    return found._replace(score=score, false_accept=accept_rate(pairs, score, same=False), true_accept=true_accept)


def save_threshold(folder: Path, threshold: Threshold) -> None:
    """Add a threshold to threshold.json in a model's folder; those of other models, paths and sites stay."""
    thresholds = {**read_thresholds(folder), threshold.model: threshold}
    content = {"version": VERSION, "thresholds": [_to_json(one) for one in thresholds.values()]}
    with replacing(folder / FILE) as part:
        part.write_text(json.dumps(content, indent=2) + "\n")


def read_thresholds(folder: Path) -> dict[str, Threshold]:
    """Read {digest of a model along a path: threshold} from a folder; {} if it has no threshold.json.

    Raises:
        UserError: the file is damaged, or from a later version.
    """
    file = folder / FILE
    if not file.exists():
        return {}
    try:
        content: dict[str, Any] = json.loads(file.read_text())
        if content.get("version", VERSION) > VERSION:
            raise UserError(
                f"{file} has format version {content['version']}, this package reads up to {VERSION}: upgrade "
                "fastreid_gdnorm, or run fastreid calibrate again"
            )
        thresholds = map(_from_json, content.get("thresholds", [content]))  # version 1 is a single threshold
        return {threshold.model: threshold for threshold in thresholds}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{file} is damaged ({error}): remove it and run fastreid calibrate again") from error


def read_threshold(model: str | Path, description: Description, *others: Path) -> Threshold | None:
    """Find the threshold of a model, or None. If thresholds exist but none fits, a printed line says why.

    Args:
        model: a folder or an ONNX file, with threshold.json in or beside it.
        others: more folders to search.
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
            f"{folder / FILE} is for model {one[:16]}, but this is model {description.model[:16]} or another path or "
            f"site: run fastreid calibrate with this model, path and site{other_version(one, 'calibrate')}"
            for one in list(thresholds)[-1:]
        ]
    if reasons:
        say(f"matches get no verdict (same or unknown): {'; '.join(reasons)}")
    return None


def beside(model: str | Path) -> Path:
    """The folder of a model, or the folder that holds its ONNX file."""
    path = Path(model)
    return path if path.is_dir() else path.parent


def figure_of(threshold: Threshold) -> str:
    """File name of a threshold's figure; it differs between models, paths and sites."""
    return f"threshold-{threshold.model[-8:]}.png"


def _to_json(value: Any) -> Any:
    """Convert named tuples to dicts, recursively."""
    return {key: _to_json(one) for key, one in value._asdict().items()} if hasattr(value, "_asdict") else value


def _from_json(data: dict[str, Any]) -> Threshold:
    of_cameras = {
        kind: CameraThreshold(**_with_rates(data[kind])) for kind in ("within", "across") if data.get(kind) is not None
    }
    threshold = Threshold(**{**_with_rates(data), **of_cameras})
    own_scores = [found.score for found in of_cameras.values() if found.score is not None]
    numbers = [threshold.score, *own_scores, *threshold.false_accept]
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"not all of {numbers} are finite")
    return threshold


def _with_rates(data: dict[str, Any]) -> dict[str, Any]:
    rates = {key: Rate(**data[key]) for key in ("false_accept", "true_accept") if data[key] is not None}
    return {**data, **rates}
