"""A search in a gallery as a user means it: queries from files, and an answer to "the same person, or not?"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..errors import UserError
from .extraction import Extraction
from .gallery import Gallery, Match
from .records import Record

CANDIDATES = 100  # matches of a query that are re-ranked


class Found(NamedTuple):
    """A query and what it found, best first.

    Args:
        threshold: the score from which matches are the same person, or None if nobody has found one.
    """

    query: Record
    matches: list[Match]
    threshold: float | None

    def judged(self) -> Iterator[tuple[Match, str]]:
        """Each match with "same" or "unknown", or with "" if there is no threshold."""
        for match in self.matches:
            if self.threshold is None:
                yield match, ""
            else:
                yield match, "same" if match.score >= self.threshold else "unknown"


def search(
    gallery: Gallery,
    queries: Extraction,
    top: int = 10,
    exclude_same_camera: bool = False,
    rerank: bool = False,
    threshold: float | None = None,
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
    cameras = [record.camera for record in queries.records] if exclude_same_camera else None
    for record in queries.records if exclude_same_camera else ():
        if not record.camera:
            raise UserError(f"--exclude-same-camera: the camera of {record.path} is not known; give it in a table")
    candidates = max(top, CANDIDATES) if rerank else top
    found = gallery.search(queries.features, candidates, not_from=cameras, not_same_as=queries.digests)
    if rerank:
        found = [_reranked(gallery, queries, number, matches)[:top] for number, matches in enumerate(found)]
    return [Found(record, matches, threshold) for record, matches in zip(queries.records, found)]


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
