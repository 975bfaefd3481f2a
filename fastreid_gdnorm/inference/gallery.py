"""Images to search among: their features in a faiss index, and what is known of each."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .description import Description, other_version
from .extraction import Extraction, extract
from .feature_extractor import FeatureExtractor
from .gallery_files import Stored, read_gallery, write_gallery
from .records import Record, find_images

APPROXIMATE_FROM = 20_000  # images; below, comparing with all of them takes milliseconds
NEIGHBOURS, BEAM = 32, 256  # links of an image in the graph, and images kept in sight when it is searched
SAMPLE = 500  # images that recall is measured with


class Match(NamedTuple):
    """An image of a gallery that a query found.

    Args:
        row: its place in the gallery.
        score: cosine similarity, or minus the squared Euclidean distance, as the model compares; higher is more alike.
        record: what is known of it.
    """

    row: int
    score: float
    record: Record


class Gallery:
    """Features of images by one model, each with what is known of the image; no two images have the same contents.

    >>> gallery = Gallery.build(extractor, ["crops"])
    >>> (matches,) = gallery.search(extractor("query.jpg"), top=5)
    >>> gallery.save("site")  # and Gallery.load("site")

    Args:
        description: the model's.
        model, path: where it is and the path through it, for those who search the gallery later.
        approximate: search a graph (HNSW, Malkov and Yashunin 2018) instead of all images, from APPROXIMATE_FROM
            images on: faster, and a few of the best matches are missed.

    Attributes:
        records, digests: what is known of each image, and the SHA-256 of its file.
    """

    def __init__(self, description: Description, model: str = "", path: str = "", approximate: bool = False) -> None:
        self.description, self.model, self.path, self.approximate = description, model, path, approximate
        self.records: list[Record] = []
        self.digests: list[str] = []
        self._index = self._new_index(0)

    @classmethod
    def build(cls, extractor: FeatureExtractor, images: Iterable[str], approximate: bool = False) -> Gallery:
        """A gallery of files, folders, patterns and tables, as :func:`find_images` takes them."""
        gallery = cls(extractor.description, extractor.model, extractor.path, approximate)
        gallery.add(extract(extractor, find_images(images)))
        return gallery

    @classmethod
    def load(cls, folder: str | Path) -> Gallery:
        """The gallery in a folder.

        Raises:
            UserError: there is none, or it is damaged.
        """
        stored = read_gallery(Path(folder))
        gallery = cls(stored.description, stored.model, stored.path, stored.approximate)
        gallery.records, gallery.digests, gallery._index = stored.records, stored.digests, stored.index
        return gallery

    def save(self, folder: str | Path) -> None:
        """Write it to a folder; whenever the process is killed, the former gallery is there or this one."""
        about = (self.description, self.model, self.path, self.approximate)
        write_gallery(Path(folder), Stored(*about, self.records, self.digests, self._index))

    def __len__(self) -> int:
        return len(self.records)

    @property
    def is_approximate(self) -> bool:
        """Whether a search looks at a graph rather than at all images."""
        return isinstance(faiss.downcast_index(self._index), faiss.IndexHNSW)

    def features(self, rows: Sequence[int] | None = None) -> NDArray[np.float32]:
        """Of the images at some places, or of all: (images, D)."""
        features: NDArray[np.float32]
        if rows is None:
            features = self._index.reconstruct_n(0, len(self))
        else:
            features = self._index.reconstruct_batch(np.asarray(rows, np.int64))
        return features

    def check_model(self, description: Description) -> None:
        """That features of a model may be compared with the gallery's.

        Raises:
            UserError: it is another model.
        """
        if description.model != self.description.model:
            raise UserError(
                f"the gallery was made by model {self.description.model[:16]}, and this is model "
                f"{description.model[:16]}: their features cannot be compared"
                + other_version(self.description.model, "build the gallery")
                + other_version(description.model, "export the model")
            )

    def add(self, extraction: Extraction) -> int:
        """Add images whose contents are not there yet; how many these were.

        Raises:
            UserError: the features have another length than this model's.
        """
        if extraction.features.shape[1:] != (self.description.features,):
            raise UserError(f"features are of shape (N, {self.description.features}), got {extraction.features.shape}")
        first = {sha256: row for row, sha256 in reversed(list(enumerate(extraction.digests)))}
        new = sorted(first[sha256] for sha256 in first.keys() - set(self.digests))
        features = extraction.features if len(new) == len(extraction.records) else extraction.features[new]
        if self.approximate and not self.is_approximate and len(self) + len(new) >= APPROXIMATE_FROM:
            features = np.concatenate((self.features(), features))
            self._index = self._new_index(len(features))
        self._index.add(features)
        self.records += [extraction.records[row] for row in new]
        self.digests += [extraction.digests[row] for row in new]
        return len(new)

    def remove(self, rows: Container[int]) -> None:
        """Remove images by their places."""
        kept = [row for row in range(len(self)) if row not in rows]
        features = self.features(kept)
        self.records = [self.records[row] for row in kept]
        self.digests = [self.digests[row] for row in kept]
        self._index = self._new_index(len(kept))
        self._index.add(features)

    def search(
        self,
        queries: NDArray[np.float32],
        top: int = 10,
        *,
        not_from: Sequence[str] | None = None,
        not_same_as: Sequence[str] | None = None,
    ) -> list[list[Match]]:
        """The best matches of each query, best first; fewer than ``top`` where the gallery has no more.

        Args:
            queries: features (Q, D) by the gallery's model.
            not_from: a camera for each query whose images do not count, or "".
            not_same_as: a SHA-256 for each query; an image with the same contents does not count.
        """
        if queries.ndim != 2 or queries.shape[1] != self.description.features:
            raise UserError(f"queries are of shape (Q, {self.description.features}), got {queries.shape}")
        found: list[list[Match]] = [[] for _ in queries]
        asked = np.array(not_from if not_from is not None else [""] * len(queries), str)
        for camera in np.unique(asked):
            numbers = np.flatnonzero(asked == camera).tolist()
            for number, matches in zip(numbers, self._nearest(queries[numbers], top + 1, str(camera))):
                same = not_same_as[number] if not_same_as is not None else None
                found[number] = [match for match in matches if self.digests[match.row] != same][:top]
        return found

    def recall(self, top: int = 10) -> float:
        """The share of the ``top`` best matches among all images that a search finds, for SAMPLE of its own images.

        An image itself is not counted among its matches.
        """
        features = self.features()
        exact = self._flat()
        exact.add(features)
        sample = np.linspace(0, len(self) - 1, min(SAMPLE, len(self))).astype(int)
        top = min(top, len(self) - 1)
        right = exact.search(features[sample], top + 1)[1]
        found = self._index.search(features[sample], top + 1, params=self._parameters(None))[1]
        right, found = ([row[row != own][:top] for own, row in zip(sample, rows)] for rows in (right, found))
        return float(np.mean([np.isin(*pair).mean() for pair in zip(right, found)]))

    def _nearest(self, queries: NDArray[np.float32], top: int, not_from: str) -> Iterator[list[Match]]:
        selector, allowed = None, len(self)
        if not_from:
            rows = np.flatnonzero([record.camera != not_from for record in self.records])
            selector, allowed = faiss.IDSelectorBatch(rows), len(rows)
        parameters, top = self._parameters(selector), min(top, allowed)
        if not top:
            return iter([[] for _ in queries])
        scores, rows = self._index.search(np.ascontiguousarray(queries), top, params=parameters)
        scores = scores if self.description.metric == "cosine" else -scores
        return (self._matches(*query) for query in zip(rows.tolist(), scores.tolist()))

    def _matches(self, rows: list[int], scores: list[float]) -> list[Match]:
        # faiss fills up with -1 what a graph did not find
        return [Match(row, score, self.records[row]) for row, score in zip(rows, scores) if row >= 0]

    def _parameters(self, selector: Any) -> Any:
        if self.is_approximate:
            return faiss.SearchParametersHNSW(sel=selector, efSearch=BEAM)
        return faiss.SearchParameters(sel=selector) if selector else None

    def _flat(self) -> Any:
        return (faiss.IndexFlatIP if self.description.metric == "cosine" else faiss.IndexFlatL2)(
            self.description.features
        )

    def _new_index(self, images: int) -> Any:
        if not self.approximate or images < APPROXIMATE_FROM:
            return self._flat()
        metric = faiss.METRIC_INNER_PRODUCT if self.description.metric == "cosine" else faiss.METRIC_L2
        return faiss.IndexHNSWFlat(self.description.features, NEIGHBOURS, metric)
