"""Camera offsets: what tells a camera's features from another's is subtracted before they are compared."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from ..image_names import canonical_camera
from ..site_cameras import SiteCameras
from .comparable import lengths_of

VERSION = 1


class Estimate(NamedTuple):
    """What features say of their cameras.

    Args:
        names: C cameras.
        images: (C,), how many each has.
        weights: (C,), from 0 to 1: how far each camera's own mean is believed.
        offsets: (C + 1, D), what is subtracted for each camera, and last for all others: the mean of all cameras.
    """

    names: list[str]
    images: NDArray[np.int64]
    weights: NDArray[np.float64]
    offsets: NDArray[np.float32]


class CameraOffsets:
    """Features relative to their camera: called with features and cameras, it subtracts each camera's offset.

    >>> offsets = CameraOffsets.from_features(unlabelled, cameras)  # (N, D) and N names
    >>> features = offsets(features, their_cameras)                 # of length 1

    A camera's offset is the mean feature of its unlabelled images, shrunk towards the mean of all cameras. Subtracting
    means is feature standardisation by camera (arXiv 2502.10195) without its deviations. The shrinking is the best
    linear predictor of the one-way random-effects model: camera c has the true mean mu_c = mu + b_c with E|b_c|^2 = S,
    and an image differs from it with E|e|^2 = v, so that the mean of n_c images is believed by

        w_c = S / (S + v / n_c),    offset_c = m + w_c (m_c - m).

    v and S are the analysis of variance's unbiased estimates, summed over the D features: with N images of C cameras,
    v = SS_within / (N - C) and S = max(0, (SS_between / (C - 1) - v) / n_0), n_0 = (N - sum n_c^2 / N) / (C - 1)
    (Searle, Casella, McCulloch: Variance Components, 1992, ch. 3). m is the mean of all cameras, each counted by
    n_c / (n_c S + v). With n images of every camera, w = max(0, 1 - (v / n) / B), B the variance between the cameras'
    observed means: James and Stein's estimator as Efron and Morris (1973) derive it. Nothing is tuned.

    v is that of images of *different people*: several images of one person tell less than as many people do, and count
    the same. If the same people pass every camera, chance moves the cameras' means together: the weights are then
    smaller than they could be.

    Attributes:
        cameras: those that have an offset. An image of another one, or of an unknown one, goes by the mean of all.
        estimate: the numbers.
        model: the digest of the model whose features they are of; "" if that is not known.
        pictures: of each image that they were learned from, the beginning of the SHA-256 of the file, uint64.
        site: the folder that they were read from, or "".
    """

    def __init__(
        self, estimate: Estimate, model: str = "", pictures: Sequence[int] | NDArray[np.uint64] = (), site: str = ""
    ) -> None:
        self.estimate, self.model, self.site = estimate, model, site
        self.pictures = np.asarray(pictures, np.uint64)
        self.cameras = SiteCameras(estimate.names)
        self._rows = {name: row for row, name in enumerate(estimate.names)}

    @classmethod
    def from_features(
        cls,
        features: Any,
        cameras: Sequence[object] | NDArray[Any],
        model: str = "",
        pictures: Sequence[int] | NDArray[np.uint64] = (),
    ) -> CameraOffsets:
        """Learn the offsets of cameras.

        Args:
            features: (N, D) of any length, of unlabelled images; two or more.
            cameras: N, of each image, however :func:`canonical_camera` knows it; those of unknown camera are "" and
                do not count.
            model, pictures: as the attributes.

        Raises:
            UserError: there are fewer than two images of known camera, not as many cameras as features, or features
                that have no direction.
        """
        given = _unit(np.asarray(features, np.float64))
        names = [canonical_camera(str(camera)) for camera in cameras]
        if len(names) != len(given):
            raise UserError(f"{len(names)} cameras are given for {len(given)} features: give each image one, or ''")
        known = np.array([bool(name) for name in names], bool)
        if known.sum() < 2:
            raise UserError(
                f"{known.sum()} images of known camera do not tell how cameras differ: give two or more, better 64 a "
                "camera, of different people"
            )
        return cls(_estimate(given[known], np.array([name for name in names if name])), model, pictures)

    def __call__(self, features: Any, cameras: Sequence[object] | NDArray[Any]) -> NDArray[np.float32]:
        """Features (N, D), brought to length 1, less their cameras' offsets, of length 1 again.

        Args:
            cameras: N, "" where it is not known.

        Raises:
            UserError: there are not as many cameras, features are of another length, or one has no direction.
        """
        features, names = np.asarray(features, np.float32), list(map(str, cameras))
        width = self.estimate.offsets.shape[1]
        if features.shape != (len(names), width):
            raise UserError(f"offsets take features (N, {width}) and N cameras, got {features.shape} and {len(names)}")
        of_all = len(self._rows)
        row_of = {name: self._rows.get(self.cameras.find(name), of_all) for name in set(names)}
        rows = [row_of[name] for name in names]
        return _unit(_unit(features) - self.estimate.offsets[rows])

    def __str__(self) -> str:
        return f"site {self.site}" if self.site else "the given camera offsets"

    def digest(self, model: str = "") -> str:
        """The SHA-256 of all that features depend on: the names of cameras, the offsets, and the model's digest."""
        names = json.dumps([model or self.model, *self.estimate.names])
        return hashlib.sha256(names.encode() + self.estimate.offsets.astype("<f4").tobytes()).hexdigest()

    def check_model(self, model: str) -> None:
        """That they are of the features of a model.

        Raises:
            UserError: they are of another one's.
        """
        if self.model and self.model != model:
            raise UserError(
                f"{self}: its offsets are of features of model {self.model[:16]}, and this is model {model[:16]}, or "
                "another path through it: fastreid adapt to this one"
            )

    def save(self, stream: BinaryIO) -> None:
        """NumPy's .npz without pickles."""
        names, images, weights, offsets = self.estimate
        about = {"version": VERSION, "model": self.model}
        arrays: dict[str, Any] = {
            "cameras": np.array(names, str),
            "images": images,
            "weights": weights,
            "offsets": offsets,
        }
        np.savez(stream, about=np.array(json.dumps(about)), pictures=self.pictures, **arrays)

    @classmethod
    def load(cls, file: Path | BinaryIO, site: str) -> CameraOffsets:
        """What :meth:`save` has written.

        Raises:
            UserError: it is not there, damaged, or of a later version.
        """
        try:
            with np.load(file, allow_pickle=False) as stored:
                about = json.loads(str(stored["about"]))
                if about["version"] != VERSION:
                    raise UserError(f"site {site} is of version {about['version']}, this is for {VERSION}: adapt again")
                names = stored["cameras"].tolist()
                estimate = Estimate(names, stored["images"], stored["weights"], stored["offsets"])
                offsets = estimate.offsets
                if offsets.ndim != 2 or len(offsets) != len(names) + 1 or not np.isfinite(offsets).all():
                    raise ValueError(f"{len(names)} cameras and offsets of shape {offsets.shape}")
                return cls(estimate, str(about["model"]), stored["pictures"], site)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"the offsets of site {site} are missing or damaged ({error}): adapt again") from error


def _estimate(x: NDArray[np.float64], cameras: NDArray[np.str_]) -> Estimate:
    """Of features of length 1, (N, D), and their cameras' names (N,)."""
    names, camera, n = np.unique(cameras, return_inverse=True, return_counts=True)
    count, total = len(names), len(x)
    means = np.array([x[camera == place].mean(0) for place in range(count)])
    v = np.square(x - means[camera]).sum() / (total - count) if total > count else np.inf
    spread = 0.0
    if count > 1 and np.isfinite(v):
        between = (n[:, None] * np.square(means - x.mean(0))).sum() / (count - 1)
        spread = max(0.0, (between - v) / ((total - np.square(n).sum() / total) / (count - 1)))
    precision = n / (n * spread + v) if spread else n.astype(float)  # of equal ones, all images count the same
    weights = spread * precision if spread else np.zeros(count)
    mean = np.average(means, axis=0, weights=precision)
    offsets = np.vstack((mean + weights[:, None] * (means - mean), mean))
    return Estimate(names.tolist(), n.astype(np.int64), weights, offsets.astype(np.float32))


def _unit(features: NDArray[Any]) -> NDArray[Any]:
    """Features (N, D) of length 1.

    Raises:
        UserError: they are of another shape, or one is NaN, infinite or all zero.
    """
    if features.ndim != 2:
        raise UserError(f"features are of shape (N, D), got {features.shape}")
    lengths = lengths_of(features)
    unusable = np.flatnonzero(~np.isfinite(lengths) | (lengths <= 1e-6))
    if len(unusable):
        raise UserError(
            f"features {unusable[0]} of {len(features)} have no direction to compare: they are NaN, infinite, all zero "
            "or equal to their camera's offset"
        )
    return features / lengths[:, None]
