"""Put the features of many images into a gallery on disk, some images at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from ..console import say
from ..disk import digest
from .extraction import extract
from .feature_extractor import FeatureExtractor, prepared_ahead
from .gallery import Gallery
from .gallery_files import JOURNAL, is_complete
from .journal import Journal
from .known_images import Changes
from .records import Record

BATCH_BYTES = 2**28  # size of the features that are saved together; memory holds them up to four times


def index_images(
    gallery: Gallery,
    folder: Path,
    extractor: FeatureExtractor,
    records: Sequence[Record],
    approximate: bool = False,
    skip_unreadable: bool = False,
) -> tuple[Changes, int]:
    """Update a gallery with images (:meth:`Gallery.update`), and save it whenever BATCH_BYTES of features are new.

    If nothing changes, nothing is written. If the process is killed, ``folder`` holds the gallery as it was saved last,
    and calling this function again goes on from there.

    Args:
        gallery: as in ``folder``, or a new one.
        extractor: of the gallery's model.
        approximate: search the gallery by compressed features from now on.
        skip_unreadable: leave out unreadable images and print their names.

    Returns:
        The changes, and the number of images that were left out.

    Raises:
        UserError: see :func:`~fastreid_gdnorm.inference.extraction.extract`.
    """
    given: dict[str, list[Record]] = {}
    for record, sha256 in zip(records, _digests(records)):
        given.setdefault(sha256, []).append(record)
    order = list(given)
    size = max(1, BATCH_BYTES // (4 * extractor.description.features))
    is_saved = not _adjust(gallery, extractor, approximate) and is_complete(folder)
    total, done, left_out = Changes(0, 0, 0, 0, 0), 0, 0
    journal = Journal(folder / JOURNAL, extractor.description.model)
    for start in range(0, len(order), size):
        batch = [record for sha256 in order[start : start + size] for record in given[sha256]]
        cameras = {sha256: record.camera for record, sha256 in zip(gallery.records, gallery.digests)}
        extraction = extract(extractor, batch, journal, cameras, skip_unreadable)
        compressed_at = gallery.compressed_at
        changes = gallery.update(extraction, given.keys())
        total = Changes(*map(sum, zip(total, changes)))
        done += len(batch)
        left_out += extraction.left_out
        is_saved = is_saved and gallery.compressed_at == compressed_at
        if changes.added or changes.updated or changes.replaced or not is_saved:
            gallery.save(folder)
            is_saved = True
            if len(order) > size:
                say(f"{folder}: saved {done} of {len(records)} images")
        if extraction.records:
            journal.remove()
            journal = Journal(folder / JOURNAL, extractor.description.model)
        del extraction
    if not is_saved:
        gallery.save(folder)
    journal.remove()
    return total, left_out


def _digests(records: Sequence[Record]) -> list[str]:
    """SHA-256 of each file's contents, or its path if it cannot be read."""
    found = prepared_ahead(_digest, records, 1024)
    return list(tqdm(found, "reading", len(records), unit=" images", leave=False, disable=None, delay=2))


def _digest(record: Record) -> str:
    try:
        return digest(record.path)
    except OSError:
        return record.path


def _adjust(gallery: Gallery, extractor: FeatureExtractor, approximate: bool) -> bool:
    """Store where the extractor's model is and how to search; whether any of it is new."""
    before = (gallery.model, gallery.path, str(gallery.offsets), gallery.approximate)
    gallery.model, gallery.path, gallery.offsets = extractor.model, extractor.path, extractor.offsets
    gallery.approximate = gallery.approximate or approximate
    return before != (gallery.model, gallery.path, str(gallery.offsets), gallery.approximate)
