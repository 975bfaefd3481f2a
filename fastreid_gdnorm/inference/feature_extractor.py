"""FeatureExtractor: images in, features out."""

from __future__ import annotations

import itertools
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError, not_finite
from ..image_loading import Picture, list_pictures, read_picture
from ..runs import files
from .camera_offsets import CameraOffsets
from .comparable import unusable_rows
from .cpus import usable_cpus
from .description import Description
from .network import open_network
from .site import Site, open_site

logger = logging.getLogger(__name__)  # without a handler, warnings go to stderr
T = TypeVar("T")
R = TypeVar("R")
SMALLEST_PART = 16  # images in a pass; below that, small networks take longer per image


class Skipped(NamedTuple):
    """An image that could not be read: its index among the given images, from 0, and the reason."""

    place: int
    reason: str


class _Prepared(NamedTuple):
    """An image that is ready for the network, or the error if it cannot be read; its camera; its name in messages."""

    image: NDArray[np.uint8] | UserError
    camera: str
    name: str


class FeatureExtractor:
    """Extract features of images with a trained model, without a config. Several threads can share one extractor.

    Example:
        >>> extractor = FeatureExtractor("model.onnx")  # or a run's folder, or an export's
        >>> features = extractor(["a.jpg", "b.jpg"])
        >>> features.shape
        (2, 3)
        >>> similarity = features[0] @ features[1]  # if the model compares by cosine

    Args:
        model: a run's folder, an export's folder, or an ONNX file that describes its input, as those of
            ``fastreid export`` do (needs no torch).
        device: "cpu", "cuda" or "cuda:N"; by default CUDA if available.
        half: use half precision, on CUDA only.
        batch_size: number of images in a forward pass. Passes that run at once share this number between them.
        workers: number of threads that read and resize images; by default one for each usable CPU, up to 8.
        order: "RGB" or "BGR", the order of colours in arrays. Files and PIL images carry their own.
        path: path through a run's model, in the form of ``fastreid eval --path``: mean, posterior:FILE, ...; by
            default the path in the run's config.
        site: a folder written by ``fastreid adapt``, or camera offsets. Each image's features then follow the image's
            camera.

    Attributes:
        model, path: the model's location and the path through it; file names in both are absolute.
        offsets: the camera offsets in use, or None.
        description: digest of the model at its site, metric, length of a feature vector, and the network's input.
        engine: what runs the network, and where, such as "torch on cpu".
        cameras: the cameras that have a path or an offset of their own, from ``fastreid adapt``.
        skipped: the images that the last finished call left out.

    Raises:
        UserError: ``model`` is not a model or needs something that is missing, or ``site`` is not a site, belongs to
            another model, or conflicts with ``path``.
    """

    description: Description

    def __init__(
        self,
        model: str | Path,
        *,
        device: str = "",
        half: bool = False,
        batch_size: int = 64,
        workers: int = 0,
        order: str = "RGB",
        path: str = "",
        site: str | Path | CameraOffsets | None = None,
    ) -> None:
        if order not in ("RGB", "BGR"):
            raise UserError(f"order must be RGB or BGR; got {order!r}")
        if batch_size < 1 or workers < 0:
            raise UserError(f"--batch-size must be 1 or more and --workers 0 or more; got {batch_size} and {workers}")
        self.model = str(Path(model).resolve())
        kind, _, file = path.partition(":")
        path = f"{kind}:{Path(file).resolve()}" if kind == "posterior" else path
        opened = Site("", site) if isinstance(site, CameraOffsets) else open_site(site) if site else Site()
        if opened.path and path not in ("", opened.path):
            raise UserError(f"--path {path}: site {site} has its own posterior paths; leave out --path")
        self.path = opened.path or path
        self._network = open_network(model, device, half, self.path)
        self.engine = self._network.engine
        self.description, self.cameras, self.offsets = self._network.description, self._network.cameras, opened.offsets
        if self.offsets:
            base = self.description.model
            self.offsets.check_model(base)
            self.description = self.description._replace(model=files.DIGEST + self.offsets.digest(base))
            self.cameras = self.offsets.cameras
        self._batch_size, self._order = batch_size, order
        self._workers = workers
        self.skipped: list[Skipped] = []

    def __call__(
        self, images: Any, unreadable: str = "fail", cameras: Sequence[str] | None = None
    ) -> NDArray[np.float32]:
        """Extract the features of all images, in order.

        Args:
            images: a file or a folder; a PIL image; a uint8 array (H, W, 3) or (N, H, W, 3); a pair (frame, boxes) as
                detectors return it, with boxes (N, 4) of x1, y1, x2, y2 in pixels; or a list of files, PIL images and
                arrays.
            unreadable: what to do with an image that cannot be read: "fail" or "skip".
            cameras: the camera of each image, "" if unknown. An image whose camera is unknown or not in
                ``self.cameras`` follows the site as a whole.

        Returns:
            Features (N, D). Rows have length 1 under the cosine metric, and under any metric with camera offsets.
            Skipped images have no row.

        Raises:
            UserError: an image cannot be read and ``unreadable`` is "fail", features are NaN, infinite or all zero, or
                the numbers of cameras and images differ.
        """
        if unreadable not in ("fail", "skip"):
            raise UserError(f"unreadable must be 'fail' or 'skip'; got {unreadable!r}")
        pictures = list_pictures(images)
        if cameras is None and self.cameras.names and pictures:
            logger.warning(
                "no cameras given: all %d images follow the site as a whole; pass cameras= with one per image",
                len(pictures),
            )
        if cameras is not None and len(cameras) != len(pictures):
            raise UserError(
                f"got {len(cameras)} cameras for {len(pictures)} images: pass one camera per image, '' if unknown"
            )
        features: list[NDArray[np.float32]] = []
        skipped: list[Skipped] = []
        camera_of = cameras if cameras is not None else [""] * len(pictures)
        for index, found in enumerate(self.stream(zip(pictures, camera_of))):
            if not isinstance(found, UserError):
                features.append(found)
            elif unreadable == "skip":
                skipped.append(Skipped(index, str(found)))
            else:
                raise UserError(f"image {index + 1}: {found}")
        self.skipped = skipped
        return np.array(features, np.float32).reshape(-1, self.description.features)

    def stream(self, images: Iterable[tuple[Picture, str]]) -> Iterator[NDArray[np.float32] | UserError]:
        """Extract the features of a stream of single pictures and their cameras, "" if unknown.

        A few batches are taken from the stream ahead of the consumer, so memory does not depend on its length.

        Yields:
            For each picture, in order, its features (D,) as a call returns them, or the error if it cannot be read.

        Raises:
            UserError: features are NaN, infinite or all zero.
        """
        threads = self._network.threads
        size = min(self._batch_size, max(SMALLEST_PART, -(-self._batch_size // threads)))
        prepared = prepared_ahead(self._prepare, enumerate(images), 2 * self._batch_size, self._workers)
        batches = iter(lambda: list(itertools.islice(prepared, size)), [])
        first = list(itertools.islice(batches, 2))
        pool = self._network.pool if len(first) == 2 else None  # a single batch uses all cores
        batches = itertools.chain(first, batches)
        computed = ahead(pool, self._compute, batches, threads + 1) if pool else map(self._compute, batches)
        for features in computed:
            yield from features

    def _prepare(self, numbered: tuple[int, tuple[Picture, str]]) -> _Prepared:
        index, (picture, camera) = numbered
        name = str(picture) if isinstance(picture, (str, os.PathLike)) else f"image {index + 1}"
        try:
            return _Prepared(self._network.prepare(read_picture(picture, self._order)), camera, name)
        except UserError as error:
            return _Prepared(error, camera, name)

    def _compute(self, batch: Sequence[_Prepared]) -> list[NDArray[np.float32] | UserError]:
        """The features of a batch, or the errors of what is unreadable, in order."""
        images = [one.image for one in batch if not isinstance(one.image, UserError)]
        readable = [one for one in batch if not isinstance(one.image, UserError)]
        rows = iter(self._features(images, readable) if images else ())
        return [one.image if isinstance(one.image, UserError) else next(rows) for one in batch]

    def _features(self, images: Sequence[NDArray[np.uint8]], of: Sequence[_Prepared]) -> NDArray[np.float32]:
        cameras = [one.camera for one in of]
        features = self._network(images, cameras)
        unusable = unusable_rows(features, "cosine" if self.offsets else self.description.metric)
        if len(unusable):
            raise not_finite(of[unusable[0]].name, self.model)
        if self.offsets:
            return self.offsets(features, cameras)
        if self.description.metric == "cosine":
            features /= np.linalg.norm(features, axis=1, keepdims=True)
        return features


def prepared_ahead(function: Callable[[T], R], items: Iterable[T], window: int, workers: int = 0) -> Iterator[R]:
    """``map`` in threads, at most ``window`` items ahead of the consumer, which bounds memory.

    Args:
        workers: number of threads; by default one for each usable CPU, up to 8.
    """
    workers = workers or min(8, usable_cpus())
    size = max(1, min(8, window // (2 * workers)))  # handing over eight items costs as much as handing over one
    items = iter(items)
    parts = iter(lambda: list(itertools.islice(items, size)), [])
    with ThreadPoolExecutor(workers) as pool:
        for done in ahead(pool, lambda part: list(map(function, part)), parts, window // size):
            yield from done


def ahead(pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], window: int) -> Iterator[R]:
    """``pool.map``, at most ``window`` items ahead of the consumer."""
    waiting: deque[Future[R]] = deque()
    items = iter(items)
    try:
        for item in itertools.islice(items, window):
            waiting.append(pool.submit(function, item))
        while waiting:
            result = waiting.popleft().result()
            for item in itertools.islice(items, 1):
                waiting.append(pool.submit(function, item))
            yield result
    finally:
        for future in waiting:
            future.cancel()
