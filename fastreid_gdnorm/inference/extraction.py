"""The features of many image files, with progress, and going on where an earlier process was stopped."""

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

CHUNK = 512  # images after which what was done is kept


class Extraction(NamedTuple):
    """Images and their features, a row each.

    Args:
        records: N.
        digests: the SHA-256 of each file's contents.
        features: (N, D).
        known: images whose features were known before, each with its digest; they have no row.
        left_out: how many images could not be read.
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
    """The features of all images, in their order; files with the same contents are looked at once.

    Where features go by cameras, a line says how many images follow their camera of the site.

    Args:
        journal: what is in it is not computed again. All that is done goes into it every so often, and before an error;
            the caller removes it. Without one, nothing is kept on disk.
        known: {digest: camera} of images whose features are not needed, unless they now follow another camera.
        skip_unreadable: leave out and name what cannot be read.

    Raises:
        UserError: a file is not there or cannot be read, all are left out, or the model's features are not usable.
    """
    journal, known = journal or Journal(), known or {}
    kept: list[tuple[Record, str]] = []
    known_ones: list[tuple[Record, str]] = []
    with tqdm(total=len(records), desc="features", unit=" images", leave=False) as progress:
        for start in range(0, len(records), CHUNK):
            chunk = records[start : start + CHUNK]
            with ThreadPoolExecutor() as pool:
                found = list(zip(chunk, pool.map(_digest, chunk)))
            known_ones += [pair for pair in found if _is_known(extractor, *pair, known)]
            found = [pair for pair in found if not _is_known(extractor, *pair, known)]
            keys = [_key(extractor, record, sha256) for record, sha256 in found]
            new = {key: record for key, (record, _) in zip(keys, found) if key not in journal}
            paths, cameras = ([getattr(record, field) for record in new.values()] for field in ("path", "camera"))
            features = extractor(paths, unreadable="skip", cameras=cameras)
            unreadable = dict(extractor.skipped)
            journal.keep([key for place, key in enumerate(new) if place not in unreadable], features)
            for reason in unreadable.values():
                if not skip_unreadable:
                    raise UserError(f"{reason}: replace it, or leave it out with --skip-unreadable")
                say(f"left out: {reason}")
            kept += [pair for key, pair in zip(keys, found) if key in journal]
            progress.update(len(chunk))
    left_out = len(records) - len(kept) - len(known_ones)
    if records and left_out == len(records):
        raise UserError(f"none of the {left_out} images can be read")
    if extractor.cameras.names and kept:
        say(extractor.cameras.usage(record.camera for record, _ in kept))
    features = np.array([journal[_key(extractor, *pair)] for pair in kept], np.float32)
    return Extraction(
        [record for record, _ in kept],
        [sha256 for _, sha256 in kept],
        features.reshape(-1, extractor.description.features),
        known_ones,
        left_out,
    )


def _is_known(extractor: FeatureExtractor, record: Record, sha256: str, known: Mapping[str, str]) -> bool:
    """Whether an image is among those of known features, and follows the camera that these follow."""
    find = extractor.cameras.find
    return sha256 in known and (not record.camera or find(record.camera) == find(known[sha256]))


def _key(extractor: FeatureExtractor, record: Record, sha256: str) -> str:
    """What an image's features are known by: its contents, and its camera where the features depend on it."""
    camera = extractor.cameras.find(record.camera)
    return f"{sha256} {camera}" if camera else sha256


def _digest(record: Record) -> str:
    """The SHA-256 of a file's contents; of one that cannot be read, its path, so that it is looked at, and named."""
    try:
        return digest(record.path)
    except OSError:
        return record.path
