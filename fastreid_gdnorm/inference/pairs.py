"""Pairs of labelled images: their scores, the shares that a score accepts, and how far these vary with the people."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

UNKNOWN, WITHIN, ACROSS = 0, 1, 2  # a pair's cameras: one of them is not known, both are the same, they differ
RESAMPLES = 1000
FEWEST_PEOPLE = 5  # an interval of 95 % takes 40 different resamples of the people: of 5 there are 126, of 4 only 35


class Rate(NamedTuple):
    """A share of pairs, and the interval that holds 95 % of what resampled identities give."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.2f} % (95 %: {100 * self.low:.2f} to {100 * self.high:.2f})"


class Pairs(NamedTuple):
    """The scores of pairs of labelled images, each pair once.

    Args:
        scores: (P,).
        first, second: (P,), the identities of the two images, from 0.
        identities: how many there are.
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
        """How many have a pair with themselves, or with another."""
        of = self.is_same == same
        return len(np.union1d(self.first[of], self.second[of]))

    def counted(self) -> Pairs:
        """All but those of one person and one camera, which evaluation does not count either."""
        return self._where(~(self.is_same & (self.cameras == WITHIN)))

    def of_cameras(self, cameras: int) -> Pairs:
        """Those within a camera, or across cameras."""
        return self._where(self.cameras == cameras)

    def _where(self, mask: NDArray[np.bool_]) -> Pairs:
        return Pairs(self.scores[mask], self.first[mask], self.second[mask], self.identities, self.cameras[mask])


def lowest_score(pairs: Pairs, asked: float) -> float:
    """The lowest score of any pair that no more than ``asked`` of the pairs of different people reach.

    Of equal scores all are accepted or none.
    """
    different = np.sort(pairs.scores[~pairs.is_same])
    allowed = int(asked * len(different))
    allowed += (allowed + 1) / len(different) <= asked  # which the product may have missed by rounding
    highest_refused = different[len(different) - allowed - 1]
    accepted = pairs.scores[pairs.scores > highest_refused]
    return float(accepted.min() if len(accepted) else np.nextafter(highest_refused, np.float32(np.inf)))


def accept_rate(pairs: Pairs, score: float, same: bool) -> Rate:
    """The share of pairs of one person, or of different people, that reach a score.

    The interval is of bootstrap samples of identities, not of pairs, as the pairs of one person are not independent.
    """
    mask, n = pairs.is_same == same, pairs.identities
    place = pairs.first[mask].astype(np.int64) * n + pairs.second[mask]
    accepted = pairs.scores[mask] >= np.float32(score)
    total, above = (np.bincount(place, weights, minlength=n * n).reshape(n, n) for weights in (None, accepted))
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(float)
    if same:  # a person drawn twice counts twice
        a, t = (drawn @ counts.diagonal() for counts in (above, total))
    else:
        a, t = (((drawn @ counts) * drawn).sum(axis=1) for counts in (above, total))
    low, high = np.quantile(a[t > 0] / t[t > 0], (0.025, 0.975))
    return Rate(float(above.sum() / total.sum()), float(low), float(high))
