"""Camera offsets: subtract from each feature what its camera adds to all of its features."""

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
    """Offsets of C cameras, estimated from features.

    Args:
        names: the C cameras.
        images: (C,), number of images of each camera.
        weights: (C,), from 0 to 1, how far each camera's own mean is trusted.
        offsets: (C + 1, D), the vector to subtract for each camera. The last row is the mean of all cameras, for
            images of any other camera.
    """

    names: list[str]
    images: NDArray[np.int64]
    weights: NDArray[np.float64]
    offsets: NDArray[np.float32]


class CameraOffsets:
    """Make features of different cameras comparable by subtracting each camera's offset.

    Example:
        >>> unlabelled = np.random.default_rng(0).normal(size=(6, 8))
        >>> offsets = CameraOffsets.from_features(unlabelled, cameras=["1", "1", "1", "2", "2", "2"])
        >>> features = offsets(unlabelled[:2], cameras=["1", "2"])
        >>> features.shape, np.linalg.norm(features, axis=1).round(3).tolist()
        ((2, 8), [1.0, 1.0])

    A camera's offset is the mean feature of its unlabelled images, shrunk towards the mean of all cameras. Subtracting
    the mean is feature standardisation by camera (arXiv 2502.10195) without dividing by the standard deviation. The
    shrinkage is the best linear predictor of the one-way random-effects model. In this model, camera c has the true
    mean mu_c = mu + b_c with E|b_c|^2 = S, and its images scatter around mu_c with E|e|^2 = v. The observed mean m_c
    of n_c images therefore gets the weight

        w_c = S / (S + v / n_c),    offset_c = m + w_c (m_c - m).

    v and S are the unbiased estimates from the analysis of variance, summed over the D features. With N images of C
    cameras, v = SS_within / (N - C) and S = max(0, (SS_between / (C - 1) - v) / n_0), where
    n_0 = (N - sum n_c^2 / N) / (C - 1) (Searle, Casella, McCulloch: Variance Components, 1992, ch. 3). m is the mean
    of all cameras, weighted by n_c / (n_c S + v). If every camera has n images, w = max(0, 1 - (v / n) / B), where B
    is the variance between the cameras' observed means. This is James and Stein's estimator as Efron and Morris (1973)
    derive it. Nothing is tuned.

    The model assumes that all images show *different people*. Several images of one person count as much as images of
    several people, although they carry less information. If the same people pass every camera, the cameras' means vary
    together, and the weights come out smaller than they could be.

    Attributes:
        cameras: the cameras that have an offset. All other images use the mean of all cameras.
        estimate: the offsets and their weights.
        model: digest of the model that computed the features, or "" if unknown.
        pictures: uint64, the first 8 bytes of the SHA-256 of each image that the offsets were learned from.
        site: the folder that the offsets were read from, or "".
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
        """Learn camera offsets from the features of unlabelled images.

        Args:
            features: (N, D), of any length; N is at least 2.
            cameras: N, the camera of each image, in any spelling that :func:`canonical_camera` accepts. Images with
                camera "" are ignored.
            model, pictures: see the attributes.

        Raises:
            UserError: fewer than two images have a known camera, the numbers of cameras and features differ, or a
                feature has no direction.
        """
        given = _unit(np.asarray(features, np.float64))
        names = [canonical_camera(str(camera)) for camera in cameras]
        if len(names) != len(given):
            raise UserError(
                f"got {len(names)} cameras for {len(given)} features: pass one camera per feature, '' if unknown"
            )
        known = np.array([bool(name) for name in names], bool)
        if known.sum() < 2:
            raise UserError(
                "camera offsets need at least two images with a known camera, better 64 of different people for each "
                f"camera; got {known.sum()}"
            )
        return cls(_estimate(given[known], np.array([name for name in names if name])), model, pictures)

    def __call__(self, features: Any, cameras: Sequence[object] | NDArray[Any]) -> NDArray[np.float32]:
        """Normalise features (N, D) to length 1, subtract their cameras' offsets, and normalise again.

        Args:
            cameras: N, the camera of each image, "" if unknown.

        Raises:
            UserError: the numbers of cameras and features differ, D is not the offsets' D, or a feature has no
                direction.
        """
        features, names = np.asarray(features, np.float32), list(map(str, cameras))
        width = self.estimate.offsets.shape[1]
        if features.shape != (len(names), width):
            raise UserError(
                f"camera offsets take features of shape (N, {width}) and N cameras; got shape {features.shape} and "
                f"{len(names)} cameras"
            )
        last = len(self._rows)  # the mean of all cameras
        row_of = {name: self._rows.get(self.cameras.find(name), last) for name in set(names)}
        rows = [row_of[name] for name in names]
        return _unit(_unit(features) - self.estimate.offsets[rows])

    def __str__(self) -> str:
        return f"site {self.site}" if self.site else "the given camera offsets"

    def digest(self, model: str = "") -> str:
        """SHA-256 of everything that features depend on: camera names, offsets, and the model's digest."""
        names = json.dumps([model or self.model, *self.estimate.names])
        return hashlib.sha256(names.encode() + self.estimate.offsets.astype("<f4").tobytes()).hexdigest()

    def check_model(self, model: str) -> None:
        """Check that the offsets were learned from this model's features.

        Raises:
            UserError: they were learned from the features of another model.
        """
        if self.model and self.model != model:
            raise UserError(
                f"{self}: its offsets were learned with model {self.model[:16]}, but this is model {model[:16]} or "
                "another path through it: run fastreid adapt with this model"
            )

    def save(self, stream: BinaryIO) -> None:
        """Write a NumPy .npz file without pickles."""
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
        """Read a file that :meth:`save` has written.

        Raises:
            UserError: the file is missing, damaged, or from another version.
        """
        try:
            with np.load(file, allow_pickle=False) as stored:
                about = json.loads(str(stored["about"]))
                if about["version"] != VERSION:
                    raise UserError(
                        f"site {site} has format version {about['version']}, this package reads {VERSION}: run "
                        "fastreid adapt again"
                    )
                names = stored["cameras"].tolist()
                estimate = Estimate(names, stored["images"], stored["weights"], stored["offsets"])
                offsets = estimate.offsets
                if offsets.ndim != 2 or len(offsets) != len(names) + 1 or not np.isfinite(offsets).all():
                    raise ValueError(f"{len(names)} cameras and offsets of shape {offsets.shape}")
                return cls(estimate, str(about["model"]), stored["pictures"], site)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"the offsets of site {site} are missing or damaged ({error}): run fastreid adapt again"
            ) from error


def _estimate(x: NDArray[np.float64], cameras: NDArray[np.str_]) -> Estimate:
    """Estimate the offsets from features of length 1, (N, D), and their cameras' names, (N,)."""
    names, camera, n = np.unique(cameras, return_inverse=True, return_counts=True)
    count, total = len(names), len(x)
    means = np.array([x[camera == index].mean(0) for index in range(count)])
    v = np.square(x - means[camera]).sum() / (total - count) if total > count else np.inf
    spread = 0.0
    if count > 1 and np.isfinite(v):
        between = (n[:, None] * np.square(means - x.mean(0))).sum() / (count - 1)
        spread = max(0.0, (between - v) / ((total - np.square(n).sum() / total) / (count - 1)))
    precision = n / (n * spread + v) if spread else n.astype(float)  # if cameras agree, all images count the same
    weights = spread * precision if spread else np.zeros(count)
    mean = np.average(means, axis=0, weights=precision)
    offsets = np.vstack((mean + weights[:, None] * (means - mean), mean))
    return Estimate(names.tolist(), n.astype(np.int64), weights, offsets.astype(np.float32))


def _unit(features: NDArray[Any]) -> NDArray[Any]:
    """Scale features (N, D) to length 1.

    Raises:
        UserError: they have another shape, or one is NaN, infinite or all zero.
    """
    if features.ndim != 2:
        raise UserError(f"features must have shape (N, D); got {features.shape}")
    lengths = lengths_of(features)
    unusable = np.flatnonzero(~np.isfinite(lengths) | (lengths <= 1e-6))
    if len(unusable):
        raise UserError(
            f"feature {unusable[0]} of {len(features)} has no direction: it is NaN, infinite, all zero or equal to its "
            "camera's offset; leave it out"
        )
    return features / lengths[:, None]
