"""Search a gallery with query images and decide which matches show the same person."""

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

CANDIDATES = 100  # number of matches of a query to re-rank


class Found(NamedTuple):
    """A query and its matches, best first.

    Args:
        threshold: the score above which a match counts as the same person, or None without a calibration.
    """

    query: Record
    matches: list[Match]
    threshold: Threshold | None

    def judged(self) -> Iterator[tuple[Match, str]]:
        """Yield each match with its verdict: "same" or "unknown", or "" without a threshold."""
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
    """Find the best matches of each query. An image with the query's own contents is left out.

    Args:
        exclude_same_camera: leave out images of the query's camera.
        rerank: re-rank the CANDIDATES best matches by k-reciprocal encoding (Zhong et al. 2017), that is by the
            neighbours they share with the query. Scores do not change, so they may no longer decrease down the list.
        threshold: see :class:`Found`.

    Raises:
        UserError: ``exclude_same_camera`` is set and a query's camera is unknown, or ``rerank`` is set and torch is
            missing.
    """
    records = list(map(with_canonical_camera, queries.records))
    cameras = [record.camera for record in records] if exclude_same_camera else None
    for record in records if exclude_same_camera else ():
        if not record.camera:
            raise UserError(f"--exclude-same-camera: the camera of {record.path} is unknown; give it in a table")
    candidates = max(top, CANDIDATES) if rerank else top
    found = gallery.search(queries.features, candidates, exclude_cameras=cameras, exclude_digests=queries.digests)
    if rerank:
        found = [_reranked(gallery, queries, number, matches)[:top] for number, matches in enumerate(found)]
    return [Found(record, matches, threshold) for record, matches in zip(records, found)]


def not_excluded(gallery: Gallery, queries: Sequence[Record]) -> str:
    """A line about images and queries that ``exclude_same_camera`` cannot handle, or ""."""
    cameras = {record.camera for record in gallery.records} - {""}
    unknown = sum(not record.camera for record in gallery.records)
    of_queries = {record.camera for record in queries}
    others = {camera for camera in of_queries if not any(same_camera(camera, other) for other in cameras)}
    parts = []
    if unknown:
        parts.append(
            f"{unknown} of {len(gallery)} gallery images have no known camera and are never left out: index them again "
            "with a table of cameras"
        )
    if others and cameras:
        parts.append(
            f"nothing is left out for {sum(record.camera in others for record in queries)} of {len(queries)} queries, "
            f"because the gallery has no images of camera {_shortened(others)}, only of {_shortened(cameras)}"
        )
    return f"--exclude-same-camera: {'; '.join(parts)}" if parts else ""


def _shortened(names: Iterable[str]) -> str:
    first, rest = sorted(names)[:5], sorted(names)[5:]
    return ", ".join(first) + (f" and {len(rest)} more" if rest else "")


def _reranked(gallery: Gallery, queries: Extraction, number: int, matches: Sequence[Match]) -> list[Match]:
    try:
        import torch

        from ..evaluation.reranking import jaccard
    except ImportError as error:
        raise UserError(f"--rerank needs {error.name}: install it, or leave out --rerank") from error
    if not matches:
        return []
    query = torch.from_numpy(queries.features[number : number + 1])
    others = torch.from_numpy(gallery.features([match.row for match in matches]))
    (distances,) = jaccard(query, others)(slice(None))
    return [matches[index] for index in distances.argsort(stable=True).tolist()]
