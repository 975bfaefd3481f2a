"""A search in a gallery as a user means it: queries from files, and an answer to "the same person, or not?"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ..errors import UserError
from ..site_cameras import same_camera
from .extraction import Extraction
from .gallery import Gallery, Match
from .known_images import with_canonical_camera
from .records import Record
from .thresholds import Threshold

CANDIDATES = 100  # matches of a query that are re-ranked


class Found(NamedTuple):
    """A query and what it found, best first.

    Args:
        threshold: from which matches are the same person, or None if nobody has found one.
    """

    query: Record
    matches: list[Match]
    threshold: Threshold | None

    def judged(self) -> Iterator[tuple[Match, str]]:
        """Each match with "same" or "unknown", or with "" if there is no threshold."""
        for match in self.matches:
            if self.threshold is None:
                yield match, ""
            else:
                score = self.threshold.score_for(self.query.camera, match.record.camera)
                yield match, "same" if match.score >= score else "unknown"


def search(
    gallery: Gallery,
    queries: Extraction,
    top: int = 10,
    exclude_same_camera: bool = False,
    rerank: bool = False,
    threshold: Threshold | None = None,
) -> list[Found]:
    """What each query finds; an image with the query's own contents is left out.

    Args:
        exclude_same_camera: leave out the images of the query's camera.
        rerank: order the CANDIDATES best matches again by how many neighbours they share with the query (k-reciprocal
            encoding, Zhong et al. 2017). Scores stay what they are, so they need not fall any more.
        threshold: for :class:`Found`.

    Raises:
        UserError: a query's camera would be needed and is not known, or re-ranking finds no torch.
    """
    records = list(map(with_canonical_camera, queries.records))
    cameras = [record.camera for record in records] if exclude_same_camera else None
    for record in records if exclude_same_camera else ():
        if not record.camera:
            raise UserError(f"--exclude-same-camera: the camera of {record.path} is not known; give it in a table")
    candidates = max(top, CANDIDATES) if rerank else top
    found = gallery.search(queries.features, candidates, exclude_cameras=cameras, exclude_digests=queries.digests)
    if rerank:
        found = [_reranked(gallery, queries, number, matches)[:top] for number, matches in enumerate(found)]
    return [Found(record, matches, threshold) for record, matches in zip(records, found)]


def not_excluded(gallery: Gallery, queries: Sequence[Record]) -> str:
    """What leaving out images of a query's camera cannot do, as a line; "" if there is nothing."""
    cameras = {record.camera for record in gallery.records} - {""}
    without = sum(not record.camera for record in gallery.records)
    asked = {record.camera for record in queries}
    others = {camera for camera in asked if not any(same_camera(camera, other) for other in cameras)}
    parts = []
    if without:
        parts.append(
            f"{without} of {len(gallery)} images in the gallery are not left out, as their camera is not known: "
            "index them again with a table of cameras"
        )
    if others and cameras:
        parts.append(
            f"nothing is left out for {sum(record.camera in others for record in queries)} of {len(queries)} queries, "
            f"as no image in the gallery is of camera {_some(others)} (it has {_some(cameras)})"
        )
    return f"--exclude-same-camera: {'; '.join(parts)}" if parts else ""


def _some(names: Iterable[str]) -> str:
    first, rest = sorted(names)[:5], sorted(names)[5:]
    return ", ".join(first) + (f" and {len(rest)} more" if rest else "")


def _reranked(gallery: Gallery, queries: Extraction, number: int, matches: Sequence[Match]) -> list[Match]:
    try:
        import torch

        from ..evaluation.reranking import jaccard
    except ImportError as error:
        raise UserError(f"--rerank needs {error.name}") from error
    if not matches:
        return []
    query = torch.from_numpy(queries.features[number : number + 1])
    others = torch.from_numpy(gallery.features([match.row for match in matches]))
    (distances,) = jaccard(query, others)(slice(None))
    return [matches[place] for place in distances.argsort(kind="stable")]
