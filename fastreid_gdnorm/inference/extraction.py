"""Extract the features of many image files, with a progress bar; an interrupted extraction can resume."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..console import progress, say
from ..disk import digest
from ..errors import UserError
from .feature_extractor import FeatureExtractor, prepared_ahead
from .journal import Journal
from .records import Record

CHUNK = 512  # number of images after which the features are saved


class Extraction(NamedTuple):
    """N images and their features.

    Args:
        records: the N images.
        digests: SHA-256 of each file's contents.
        features: (N, D).
        known: images whose features the caller already has, with their digests; they are not among the N.
        left_out: number of images that could not be read.
    """

    records: list[Record]
    digests: list[str]
    features: NDArray[np.float32]
    known: Sequence[tuple[Record, str]] = ()
    left_out: int = 0


def extract(
    extractor: FeatureExtractor,
    records: Sequence[Record],
    journal: Journal | None = None,
    skip_unreadable: bool = False,
) -> Extraction:
    """Extract the features of all images, in order; copies of a file are computed once.

    At a site, a printed line says how many images follow their own camera.

    Raises:
        UserError: all images are unreadable, or see :func:`extract_batch`, which also explains the arguments.
    """
    extraction = extract_batch(extractor, records, journal, skip_unreadable=skip_unreadable)
    check_any_read(records, extraction.left_out)
    say_cameras(extractor, [record.camera for record in extraction.records])
    return extraction


def check_any_read(records: Sequence[Record], left_out: int) -> None:
    """Raise UserError if all of these images were left out."""
    if records and left_out == len(records):
        raise UserError(f"none of the {left_out} images can be read; the first is {records[0].path}: check the files")


def say_cameras(extractor: FeatureExtractor, cameras: Sequence[str]) -> None:
    """At a site, say how many of the images with these cameras follow their own."""
    if extractor.cameras.names and cameras:
        say(extractor.cameras.usage(cameras))


def extract_batch(
    extractor: FeatureExtractor,
    records: Sequence[Record],
    journal: Journal | None = None,
    known: Mapping[str, str] | None = None,
    skip_unreadable: bool = False,
    digests: Mapping[str, str] | None = None,
) -> Extraction:
    """Extract the features of some of the images of a command; all of them may be unreadable.

    Args:
        journal: holds features that need not be computed again. New features are saved to it after every CHUNK images
            and before an error. The caller removes it. Without a journal, nothing is saved to disk.
        known: {digest: camera} of images whose features the caller already has. Those that now follow another camera
            are computed again.
        skip_unreadable: leave out unreadable images and print their names.
        digests: {path: SHA-256} of files whose contents need not be read again for it.

    Raises:
        UserError: an image is missing or unreadable, or the model outputs features that are NaN, infinite or all zero.
    """
    journal = journal or Journal()
    images = _Images(extractor, journal, known or {}, digests or {})
    with progress("features", len(records)) as advance:
        _compute(extractor, images, records, journal, skip_unreadable, advance)
    already_known = images.known
    kept = [pair for pair in images.found if _key(extractor, *pair) in journal]
    left_out = len(records) - len(kept) - len(already_known)
    features = np.array([journal[_key(extractor, *pair)] for pair in kept], np.float32)
    return Extraction(
        [record for record, _ in kept],
        [sha256 for _, sha256 in kept],
        features.reshape(-1, extractor.description.features),
        already_known,
        left_out,
    )


class _Images:
    """Sorts images into ``known`` ones, whose features the caller has, and others, the ``found`` ones."""

    def __init__(
        self, extractor: FeatureExtractor, journal: Journal, known: Mapping[str, str], digests: Mapping[str, str]
    ) -> None:
        self._extractor, self._journal, self._known, self._digests = extractor, journal, known, digests
        self.found: list[tuple[Record, str]] = []
        self.known: list[tuple[Record, str]] = []
        self.new: deque[str] = deque()  # keys of the images that the extractor has taken, for the caller to remove

    def missing(self, records: Sequence[Record], advance: Callable[[int], None]) -> Iterator[tuple[str, str]]:
        """Sort the images, and yield path and camera of each one to compute."""
        seen: set[str] = set()
        for record, sha256 in zip(records, prepared_ahead(self._digest, records, CHUNK)):
            is_known = _is_known(self._extractor, record, sha256, self._known)
            (self.known if is_known else self.found).append((record, sha256))
            key = _key(self._extractor, record, sha256)
            if is_known or key in self._journal or key in seen:
                advance(1)
            else:
                seen.add(key)
                self.new.append(key)
                yield record.path, record.camera

    def _digest(self, record: Record) -> str:
        return self._digests.get(record.path) or digest_or_path(record)


def _compute(
    extractor: FeatureExtractor,
    images: _Images,
    records: Sequence[Record],
    journal: Journal,
    skip_unreadable: bool,
    advance: Callable[[int], None],
) -> None:
    """Add the features of all images to the journal, except those that it has, that are known, or are unreadable."""
    computed: dict[str, NDArray[np.float32]] = {}

    def save() -> None:
        journal.keep([*computed], np.array([*computed.values()], np.float32))
        computed.clear()

    try:
        for features in extractor.stream(images.missing(records, advance)):
            key = images.new.popleft()
            if not isinstance(features, UserError):
                computed[key] = features
            elif skip_unreadable:
                say(f"left out: {features}")
            else:
                raise UserError(f"{features}: replace it, or leave it out with --skip-unreadable")
            advance(1)
            if len(computed) == CHUNK:
                save()
    finally:
        save()


def digest_or_path(record: Record) -> str:
    """SHA-256 of a file's contents, or its path if it cannot be read; reading it later then reports the error."""
    try:
        return digest(record.path)
    except OSError:
        return record.path


def _is_known(extractor: FeatureExtractor, record: Record, sha256: str, known: Mapping[str, str]) -> bool:
    """Whether the caller already has the features of an image, computed for the same camera."""
    find = extractor.cameras.find
    return sha256 in known and (not record.camera or find(record.camera) == find(known[sha256]))


def _key(extractor: FeatureExtractor, record: Record, sha256: str) -> str:
    """The journal's key for an image: its digest, and its camera if the features depend on it."""
    camera = extractor.cameras.find(record.camera)
    return f"{sha256} {camera}" if camera else sha256
