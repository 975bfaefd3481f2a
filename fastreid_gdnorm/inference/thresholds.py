"""The same person, or unknown? A threshold for scores, from labelled images that the model was not trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..disk import replacing
from ..errors import UserError
from .description import Description
from .records import Record

FILE, FIGURE = "threshold.json", "threshold.png"  # beside the model
MOST_IMAGES = 4000  # of which all pairs are looked at: 8 million
RESAMPLES = 1000
BLOCK = 512  # images of which the pairs with all others are in memory at once


class Rate(NamedTuple):
    """A share of pairs, and the interval that holds 95 % of what resampled identities give."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.2f} % (95 %: {100 * self.low:.2f} to {100 * self.high:.2f})"


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


RATES = ("false_accept", "true_accept")  # the fields that are one


class Pairs(NamedTuple):
    """The scores of all pairs of labelled images, each pair once.

    Args:
        scores: (P,).
        first, second: (P,), the identities of the two images, from 0.
        identities: how many there are.
    """

    scores: NDArray[np.float32]
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    identities: int

    @property
    def is_same(self) -> NDArray[np.bool_]:
        """Whether both images show one person."""
        is_same: NDArray[np.bool_] = self.first == self.second
        return is_same


def choose_images(records: Sequence[Record]) -> list[Record]:
    """Those of known identity; if they are more than MOST_IMAGES, all of every so many identities."""
    labelled = [record for record in records if record.identity]
    identities = sorted({record.identity for record in labelled})
    every = -(-len(labelled) // MOST_IMAGES)
    chosen = set(identities[:: max(1, every)])
    return [record for record in labelled if record.identity in chosen]


def label_pairs(features: NDArray[np.float32], identities: Sequence[str], cameras: Sequence[str], metric: str) -> Pairs:
    """All pairs of images, save those of one person and one camera: evaluation does not count them either.

    Args:
        features: (N, D).
        identities, cameras: N; a camera that is not known is empty, and is another one than any.
        metric: "cosine" or "euclidean".
    """
    names, labels = np.unique(np.asarray(identities, str), return_inverse=True)
    labels, of_camera = labels.astype(np.int32), np.asarray(cameras, str)
    squares = (features**2).sum(axis=1)
    parts = []
    for start in range(0, len(features), BLOCK):
        rows = slice(start, start + BLOCK)
        scores = features[rows] @ features.T
        if metric == "euclidean":
            scores = 2 * scores - squares[rows, None] - squares
        is_same = labels[rows, None] == labels
        is_pair = ~(is_same & (of_camera[rows, None] == of_camera) & (of_camera != ""))
        is_pair &= np.arange(len(features))[rows, None] < np.arange(len(features))
        here, there = np.nonzero(is_pair)
        parts.append((scores[is_pair], labels[rows][here], labels[there]))
    scores, first, second = (np.concatenate(column) for column in zip(*parts))
    return Pairs(scores, first, second, len(names))


def find_threshold(pairs: Pairs, asked: float, description: Description, images: int, data: str) -> Threshold:
    """The lowest score at which the pairs of different people are called the same no more often than ``asked``.

    The intervals are of bootstrap samples of identities, not of pairs, as the pairs of one person are not independent.

    Raises:
        UserError: ``asked`` is no rate, or there are too few pairs to tell.
    """
    if not 0 < asked < 1:
        raise UserError(f"--false-accept is between 0 and 1, got {asked}")
    is_same = pairs.is_same
    different, same = int((~is_same).sum()), int(is_same.sum())
    if not same:
        raise UserError(f"{data} has no two images of one person in different cameras: nothing to find a threshold by")
    if different * asked < 10:
        raise UserError(
            f"{data} has {different} pairs of different people: of {asked:g} of them one cannot tell, which takes "
            f"{int(np.ceil(10 / asked))}; label more images, or ask for a higher --false-accept"
        )
    score = _lowest_score(pairs.scores[~is_same], asked)
    false_accept, true_accept = _rates(pairs, score)
    rates = false_accept, true_accept, different, same
    return Threshold(description.model, description.metric, score, asked, *rates, images, pairs.identities, data)


def save_threshold(folder: Path, threshold: Threshold) -> None:
    """Write threshold.json beside a model."""
    with replacing(folder / FILE) as part:
        part.write_text(json.dumps(_to_json(threshold), indent=2) + "\n")


def read_threshold(model: str | Path, description: Description) -> Threshold | None:
    """The threshold beside a model, or None if nobody has found one.

    Args:
        model: a folder, or an ONNX file.

    Raises:
        UserError: it is damaged, or of another model.
    """
    file = beside(model) / FILE
    if not file.is_file():
        return None
    try:
        data: dict[str, Any] = json.loads(file.read_text())
        for rate in RATES:
            data[rate] = Rate(**data[rate])
        threshold = Threshold(**data)
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{file} is damaged ({error}): run fastreid calibrate again") from error
    if threshold.model != description.model:
        raise UserError(
            f"{file} is of model {threshold.model[:16]}, and this is model {description.model[:16]}: run fastreid "
            "calibrate again"
        )
    return threshold


def beside(model: str | Path) -> Path:
    """The folder of a model: its own, or the one that its ONNX file is in."""
    path = Path(model)
    return path if path.is_dir() else path.parent


def _to_json(threshold: Threshold) -> dict[str, Any]:
    return {**threshold._asdict(), **{rate: getattr(threshold, rate)._asdict() for rate in RATES}}


def _lowest_score(different: NDArray[np.float32], asked: float) -> float:
    """The lowest of those of different people that may be accepted; of equal ones none is, or all are."""
    scores = np.sort(different)
    highest_refused = scores[len(scores) - int(asked * len(scores)) - 1]
    accepted = scores[scores > highest_refused]
    return float(accepted[0] if len(accepted) else np.nextafter(highest_refused, np.float32(np.inf)))


def _rates(pairs: Pairs, score: float) -> tuple[Rate, Rate]:
    """False and true accepts, each with its interval."""
    shape = (pairs.identities, pairs.identities)
    place = pairs.first.astype(np.int64) * pairs.identities + pairs.second
    accepted = pairs.scores >= np.float32(score)
    total, above = (
        np.bincount(place, weights, minlength=shape[0] * shape[1]).reshape(shape) for weights in (None, accepted)
    )
    rng = np.random.default_rng(0)
    weights = rng.multinomial(pairs.identities, np.full(pairs.identities, 1 / pairs.identities), RESAMPLES).astype(
        float
    )
    rates = []
    for is_same in (False, True):
        if is_same:  # a person drawn twice counts twice
            a, t = (weights @ counts.diagonal() for counts in (above, total))
        else:
            a, t = (
                ((weights @ (counts - np.diag(counts.diagonal()))) * weights).sum(axis=1) for counts in (above, total)
            )
        mask = np.eye(*shape, dtype=bool) == is_same
        low, high = np.quantile(a[t > 0] / t[t > 0], (0.025, 0.975))
        rates.append(Rate(float(above[mask].sum() / total[mask].sum()), float(low), float(high)))
    return rates[0], rates[1]
