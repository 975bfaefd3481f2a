"""Extract the features of many image files, with a progress bar; an interrupted extraction can resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..console import say
from ..disk import digest
from ..errors import UserError
from .feature_extractor import FeatureExtractor
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
    known: Mapping[str, str] | None = None,
    skip_unreadable: bool = False,
) -> Extraction:
    """Extract the features of all images, in order; copies of a file are computed once.

    At a site, a printed line says how many images follow their own camera.

    Args:
        journal: holds features that need not be computed again. New features are saved to it after every CHUNK images
            and before an error. The caller removes it. Without a journal, nothing is saved to disk.
        known: {digest: camera} of images whose features the caller already has. Those that now follow another camera
            are computed again.
        skip_unreadable: leave out unreadable images and print their names.

    Raises:
        UserError: an image is missing or unreadable, all images are unreadable, or the model outputs features that are
            NaN, infinite or all zero.
    """
    journal, known = journal or Journal(), known or {}
    kept: list[tuple[Record, str]] = []
    already_known: list[tuple[Record, str]] = []
    with tqdm(total=len(records), desc="features", unit=" images", leave=False, disable=None) as progress:
        for start in range(0, len(records), CHUNK):
            chunk = records[start : start + CHUNK]
            with ThreadPoolExecutor() as pool:
                found = list(zip(chunk, pool.map(_digest, chunk)))
            already_known += [pair for pair in found if _is_known(extractor, *pair, known)]
            found = [pair for pair in found if not _is_known(extractor, *pair, known)]
            keys = [_key(extractor, record, sha256) for record, sha256 in found]
            new = {key: record for key, (record, _) in zip(keys, found) if key not in journal}
            paths, cameras = ([getattr(record, field) for record in new.values()] for field in ("path", "camera"))
            features = extractor(paths, unreadable="skip", cameras=cameras)
            unreadable = dict(extractor.skipped)
            journal.keep([key for index, key in enumerate(new) if index not in unreadable], features)
            for reason in unreadable.values():
                if not skip_unreadable:
                    raise UserError(f"{reason}: replace it, or leave it out with --skip-unreadable")
                say(f"left out: {reason}")
            kept += [pair for key, pair in zip(keys, found) if key in journal]
            progress.update(len(chunk))
    left_out = len(records) - len(kept) - len(already_known)
    if records and left_out == len(records):
        raise UserError(f"none of the {left_out} images can be read; the first is {records[0].path}: check the files")
    if extractor.cameras.names and kept:
        say(extractor.cameras.usage(record.camera for record, _ in kept))
    features = np.array([journal[_key(extractor, *pair)] for pair in kept], np.float32)
    return Extraction(
        [record for record, _ in kept],
        [sha256 for _, sha256 in kept],
        features.reshape(-1, extractor.description.features),
        already_known,
        left_out,
    )


def _is_known(extractor: FeatureExtractor, record: Record, sha256: str, known: Mapping[str, str]) -> bool:
    """Whether the caller already has the features of an image, computed for the same camera."""
    find = extractor.cameras.find
    return sha256 in known and (not record.camera or find(record.camera) == find(known[sha256]))


def _key(extractor: FeatureExtractor, record: Record, sha256: str) -> str:
    """The journal's key for an image: its digest, and its camera if the features depend on it."""
    camera = extractor.cameras.find(record.camera)
    return f"{sha256} {camera}" if camera else sha256


def _digest(record: Record) -> str:
    """SHA-256 of a file's contents, or its path if it cannot be read; reading it later then reports the error."""
    try:
        return digest(record.path)
    except OSError:
        return record.path
