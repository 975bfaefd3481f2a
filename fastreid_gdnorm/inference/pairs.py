"""Pairs of labelled images: scores, accept rates at a score, and confidence intervals of these rates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

UNKNOWN, WITHIN, ACROSS = 0, 1, 2  # a pair's cameras: one or both unknown, the same, different
RESAMPLES = 1000
# A 95 % interval needs 40 different resamples of the people: 5 people have 126, 4 people only 35.
MIN_PEOPLE = 5


class Rate(NamedTuple):
    """A share of pairs, with a 95 % confidence interval from resampling the identities."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.2f} % (95 %: {100 * self.low:.2f} to {100 * self.high:.2f})"


class Pairs(NamedTuple):
    """P pairs of labelled images, each pair once.

    Args:
        scores: (P,).
        first, second: (P,), identities of the two images, numbered from 0.
        identities: number of identities.
        cameras: (P,), UNKNOWN, WITHIN or ACROSS.
    """

    scores: NDArray[np.float32]
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    identities: int
    cameras: NDArray[np.int8]

    @property
    def is_same(self) -> NDArray[np.bool_]:
        """Whether both images show one person."""
        is_same: NDArray[np.bool_] = self.first == self.second
        return is_same

    def people(self, same: bool) -> int:
        """Number of people in pairs of one person, or in pairs of different people."""
        mask = self.is_same == same
        return len(np.union1d(self.first[mask], self.second[mask]))

    def counted(self) -> Pairs:
        """All pairs except those of one person in one camera, which evaluation ignores too."""
        return self._where(~(self.is_same & (self.cameras == WITHIN)))

    def of_cameras(self, cameras: int) -> Pairs:
        """The pairs within a camera (WITHIN) or across cameras (ACROSS)."""
        return self._where(self.cameras == cameras)

    def _where(self, mask: NDArray[np.bool_]) -> Pairs:
        return Pairs(self.scores[mask], self.first[mask], self.second[mask], self.identities, self.cameras[mask])


def lowest_score(pairs: Pairs, false_accept: float) -> float:
    """The lowest score of a pair that at most a share ``false_accept`` of the pairs of different people reach.

    If there is no such pair, the next number above all scores.

    Pairs with equal scores are all accepted or all rejected.
    """
    different = np.sort(pairs.scores[~pairs.is_same])
    allowed = int(false_accept * len(different))
    allowed += (allowed + 1) / len(different) <= false_accept  # corrects a product rounded down
    highest_rejected = different[len(different) - allowed - 1]
    accepted = pairs.scores[pairs.scores > highest_rejected]
    return float(accepted.min() if len(accepted) else np.nextafter(highest_rejected, np.float32(np.inf)))


def accept_rate(pairs: Pairs, score: float, same: bool) -> Rate:
    """The share of pairs of one person (``same``), or of different people, that reach a score.

    The interval comes from bootstrap samples of identities, not of pairs, since one person's pairs are not independent.
    """
    mask, n = pairs.is_same == same, pairs.identities
    cell = pairs.first[mask].astype(np.int64) * n + pairs.second[mask]
    accepted = pairs.scores[mask] >= np.float32(score)
    total, above = (np.bincount(cell, weights, minlength=n * n).reshape(n, n) for weights in (None, accepted))
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(float)
    if same:  # a person drawn twice counts twice
        a, t = (drawn @ counts.diagonal() for counts in (above, total))
    else:
        a, t = (((drawn @ counts) * drawn).sum(axis=1) for counts in (above, total))
    low, high = np.quantile(a[t > 0] / t[t > 0], (0.025, 0.975))
    return Rate(float(above.sum() / total.sum()), float(low), float(high))
