"""Put the features of many images into a gallery on disk, some images at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..console import progress, say
from .extraction import check_any_read, digest_or_path, extract_batch, say_cameras
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
    digests = dict(zip((record.path for record in records), _digests(records)))
    for record in records:
        given.setdefault(digests[record.path], []).append(record)
    order = list(given)
    size = max(1, BATCH_BYTES // (4 * extractor.description.features))
    is_saved = not _adjust(gallery, extractor, approximate) and is_complete(folder)
    total, done, left_out = Changes(0, 0, 0, 0, 0), 0, 0
    cameras: list[str] = []
    journal = Journal(folder / JOURNAL, extractor.description.model)
    for start in range(0, len(order), size):
        batch = [record for sha256 in order[start : start + size] for record in given[sha256]]
        known = {sha256: record.camera for record, sha256 in zip(gallery.records, gallery.digests)}
        extraction = extract_batch(extractor, batch, journal, known, skip_unreadable, digests)
        compressed_at = gallery.compressed_at
        changes = gallery.update(extraction, given.keys())
        total = Changes(*map(sum, zip(total, changes)))
        done += len(batch)
        left_out += extraction.left_out
        if changes.added or changes.updated or changes.replaced or gallery.compressed_at != compressed_at:
            gallery.save(folder)
            is_saved = True
            if len(order) > size:
                say(f"{folder}: saved {done} of {len(records)} images")
        if extraction.records:
            journal.remove()
            journal = Journal(folder / JOURNAL, extractor.description.model)
        cameras += [record.camera for record in extraction.records]
        del extraction
    check_any_read(records, left_out)
    if not is_saved:
        gallery.save(folder)
    journal.remove()
    say_cameras(extractor, cameras)
    return total, left_out


def _digests(records: Sequence[Record]) -> list[str]:
    digests = []
    with progress("reading", len(records)) as advance:
        for sha256 in prepared_ahead(digest_or_path, records, 1024):
            digests.append(sha256)
            advance(1)
    return digests


def _adjust(gallery: Gallery, extractor: FeatureExtractor, approximate: bool) -> bool:
    """Store where the extractor's model is and how to search; whether any of it is new."""
    before = (gallery.model, gallery.path, str(gallery.offsets), gallery.approximate)
    gallery.model, gallery.path, gallery.offsets = extractor.model, extractor.path, extractor.offsets
    gallery.approximate = gallery.approximate or approximate
    return before != (gallery.model, gallery.path, str(gallery.offsets), gallery.approximate)
