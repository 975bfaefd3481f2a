"""Gallery: features that can be searched, with a record of each image."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..deprecation import renamed_arguments
from ..errors import UserError
from ..image_names import canonical_camera
from ..site_cameras import same_camera
from .camera_offsets import CameraOffsets
from .comparable import as_comparable
from .description import Description, other_version
from .extraction import Extraction, extract
from .feature_extractor import FeatureExtractor
from .feature_parts import FeatureParts
from .feature_search import nearest
from .gallery_files import Stored, read_gallery, write_gallery
from .known_images import Changes, absolute, joined, with_canonical_camera
from .records import Record, find_images

if TYPE_CHECKING:
    from .compressed_features import CompressedFeatures

APPROXIMATE_FROM = 20_000  # number of images; with fewer, an exact search takes milliseconds
GROWTH = 4  # factor by which a gallery grows until its features are compressed anew
SAMPLE = 200  # number of images used to measure recall


class Match(NamedTuple):
    """A gallery image found by a query.

    Args:
        row: index of the image in the gallery.
        score: cosine similarity or minus the squared Euclidean distance, by the model's metric; higher means more
            alike.
        record: the image's path, camera, time and identity.
    """

    row: int
    score: float
    record: Record


class Gallery:
    """Images with features computed by one model, ready to be searched. Each image content occurs once.

    Cameras are stored in the form of :func:`canonical_camera`.

    Example:
        >>> extractor = FeatureExtractor("model.onnx")
        >>> gallery = Gallery.build(extractor, ["crops"])  # a folder
        >>> (matches,) = gallery.search(extractor("a.jpg"), top=5)
        >>> matches[0].record.path  # doctest: +ELLIPSIS
        '.../crops/a.jpg'
        >>> gallery.save("gallery")
        >>> len(Gallery.load("gallery"))
        2

    Args:
        description: describes the model.
        model, path: location of the model and the path through it, stored so that later searches can load it.
        approximate: once the gallery has APPROXIMATE_FROM images, compare queries only with the images that are
            nearest by compressed features. This is faster and can miss a few of the best matches. A change of this
            attribute takes effect at the next :meth:`update`.
        offsets: the camera offsets that the features follow, or None; saved with the gallery.

    Attributes:
        records, digests: record of each image and SHA-256 of its file.
    """

    def __init__(
        self,
        description: Description,
        model: str = "",
        path: str = "",
        approximate: bool = False,
        offsets: CameraOffsets | None = None,
    ) -> None:
        self.description, self.model, self.path, self.approximate = description, model, path, approximate
        self.offsets = offsets
        self.records: list[Record] = []
        self.digests: list[str] = []
        self._features = FeatureParts(description.features)
        self._compressed: CompressedFeatures | None = None
        self._cameras: dict[str, int] = {}
        self._camera_of: NDArray[np.int64] | None = None

    @classmethod
    def build(cls, extractor: FeatureExtractor, images: Iterable[str], approximate: bool = False) -> Gallery:
        """Build a gallery from files, folders, patterns and tables, as accepted by :func:`find_images`."""
        gallery = cls(extractor.description, extractor.model, extractor.path, approximate, extractor.offsets)
        gallery.add(extract(extractor, absolute(find_images(images))))
        return gallery

    @classmethod
    def load(cls, folder: str | Path) -> Gallery:
        """Load the gallery in a folder.

        Raises:
            UserError: the folder has no gallery, or the gallery is damaged.
        """
        stored = read_gallery(Path(folder))
        gallery = cls(stored.description, stored.model, stored.path, stored.approximate, stored.offsets)
        gallery.records, gallery.digests = stored.records, stored.digests
        gallery._features, gallery._compressed = stored.features, stored.compressed
        return gallery

    def save(self, folder: str | Path) -> None:
        """Write the gallery to a folder. If the process is killed, the folder holds the old gallery or this one.

        The features are then read from the folder's files when needed, and take no memory of their own.
        """
        about = (self.description, self.model, self.path, self.approximate)
        images = (self.records, self.digests, self._features, self._compressed)
        self._features = write_gallery(Path(folder), Stored(*about, *images, self.offsets))

    def __len__(self) -> int:
        return len(self.records)

    @property
    def is_approximate(self) -> bool:
        """Whether searches use compressed features instead of comparing all images."""
        return self._compressed is not None

    @property
    def compressed_at(self) -> int:
        """Number of images that the gallery had when its features were last compressed anew; 0 if they never were."""
        return 0 if self._compressed is None else self._compressed.trained_on

    def features(self, rows: Sequence[int] | None = None) -> NDArray[np.float32]:
        """The features of the given rows, or of all images: (images, D)."""
        return self._features.take(np.arange(len(self)) if rows is None else rows)

    def check_model(self, description: Description) -> None:
        """Check that a model's features can be compared with the gallery's.

        Raises:
            UserError: the gallery belongs to another model.
        """
        if description.model != self.description.model:
            at = f" at {self.offsets}" if self.offsets else ""
            raise UserError(
                f"the gallery was built with model {self.description.model[:16]}{at}, but this is model "
                f"{description.model[:16]} or another path or site, so their features cannot be compared: use the "
                "gallery's model, path and site, or build another gallery"
                + other_version(self.description.model, "build the gallery")
                + other_version(description.model, "export the model")
            )

    def add(self, extraction: Extraction) -> int:
        """Call :meth:`update` and return the number of added images."""
        return self.update(extraction).added

    def update(self, extraction: Extraction, still_given: Collection[str] = ()) -> Changes:
        """Add new images, and update the records of images that the gallery already has.

        Images are identified by their contents. An image takes the latest path given for it. If one extraction has
        several paths for the same contents, the image keeps its present path if that is among them, else it takes the
        first. An empty field never erases a known one. An image whose file now has other contents is removed. An image
        whose camera changes takes the extraction's features for its new camera, if there are any.

        Args:
            still_given: digests of images that stay, even if the file at their path now has other contents: another
                update will say where they are.

        Raises:
            UserError: the features do not have the model's length, are NaN or infinite, or are all zero under the
                cosine metric.
        """
        self._camera_of = None
        features = as_comparable(extraction.features, self.description, "features", "N")
        extraction = extraction._replace(features=features)
        if not len(extraction.records) == len(extraction.digests) == len(features):
            raise UserError(
                f"{len(extraction.records)} records, {len(extraction.digests)} digests and {len(features)} features: "
                "pass as many of each"
            )
        images = [*zip(extraction.records, extraction.digests), *extraction.known]
        given: dict[str, list[Record]] = {}
        for record, sha256 in images:
            given.setdefault(sha256, []).append(with_canonical_camera(record))
        paths = {record.path for record, _ in images} - {""}
        gone = {
            row
            for row, (record, sha256) in enumerate(zip(self.records, self.digests))
            if record.path in paths and sha256 not in given and sha256 not in still_given
        }
        self.remove(gone)
        known = [row for row, sha256 in enumerate(self.digests) if sha256 in given]
        before = [self.records[row].camera for row in known]
        updated = sum(self._update(row, given.pop(self.digests[row])) for row in known)
        self._renew([row for row, camera in zip(known, before) if self.records[row].camera != camera], extraction)
        new: dict[str, int] = {}
        for row, sha256 in enumerate(extraction.digests):
            if sha256 in given:
                new.setdefault(sha256, row)
        self._append(features if len(new) == len(features) else features[list(new.values())])
        self.records += [joined(given[sha256]) for sha256 in new]
        self.digests += new
        return Changes(len(new), updated, len(known) - updated, len(gone), len(images) - len(known) - len(new))

    def _renew(self, rows: Sequence[int], extraction: Extraction) -> None:
        """Replace rows' features by those that an extraction has for the same contents and camera, if any."""
        cameras = (canonical_camera(record.camera) for record in extraction.records)
        indices = {image: index for index, image in enumerate(zip(extraction.digests, cameras))}
        index_of = {row: indices.get((self.digests[row], self.records[row].camera)) for row in rows}
        renewed = {row: index for row, index in index_of.items() if index is not None}
        if renewed:
            replaced, features = np.array(list(renewed)), extraction.features[list(renewed.values())]
            self._features.put(replaced, features)
            if self._compressed is not None:
                self._compressed.put(replaced, features)

    def _update(self, row: int, given: Sequence[Record]) -> bool:
        before = self.records[row]
        self.records[row] = joined([*sorted(given, key=lambda record: record.path != before.path), before])
        return self.records[row] != before

    def _append(self, features: NDArray[np.float32]) -> None:
        self._features.append(features)
        if self.approximate and len(self._features) >= max(APPROXIMATE_FROM, GROWTH * self.compressed_at):
            from .compressed_features import CompressedFeatures  # imports faiss, which exact searches do not need

            self._compressed = CompressedFeatures.of(self._features, self.description)
        elif self._compressed is not None:
            self._compressed.add(features)

    def remove(self, rows: Collection[int]) -> None:
        """Remove the images of these rows."""
        if not rows:
            return
        self._camera_of = None
        removed = np.array(sorted(rows))
        self._features.remove(removed)
        if self._compressed is not None:
            self._compressed.remove(removed)
        kept = [row for row in range(len(self)) if row not in rows]
        self.records = [self.records[row] for row in kept]
        self.digests = [self.digests[row] for row in kept]
        if len(self) < APPROXIMATE_FROM:
            self._compressed = None

    @renamed_arguments(not_from="exclude_cameras", not_same_as="exclude_digests")
    def search(
        self,
        queries: NDArray[np.float32],
        top: int = 10,
        *,
        exclude_cameras: Sequence[str] | None = None,
        exclude_digests: Sequence[str] | None = None,
        exact: bool = False,
    ) -> list[list[Match]]:
        """Find the ``top`` best matches of each query, best first; fewer if the gallery has fewer.

        Args:
            queries: features (Q, D) computed by the gallery's model.
            exclude_cameras: for each query, a camera whose images to leave out, in any spelling that
                :func:`same_camera` accepts, or "".
            exclude_digests: for each query, the SHA-256 of an image to leave out.
            exact: compare with all images even if the gallery is approximate.

        Raises:
            UserError: ``top`` is below 1, an argument does not have one entry per query, or :meth:`update` would
                reject the queries' features.
        """
        if top < 1:
            raise UserError(f"top must be 1 or more; got {top}")
        queries = as_comparable(queries, self.description, "queries", "Q")
        for name, given in (("exclude_cameras", exclude_cameras), ("exclude_digests", exclude_digests)):
            if given is not None and len(given) != len(queries):
                raise UserError(f"{name} has {len(given)} entries for {len(queries)} queries: pass one per query")
        cameras = [""] * len(queries) if exclude_cameras is None else list(map(canonical_camera, exclude_cameras))
        masks = {camera: self._allowed(camera) for camera in sorted(set(cameras))}
        allowed = [masks[camera] for camera in cameras]
        compressed = None if exact else self._compressed
        found = nearest(self._features, compressed, queries, top + 1, allowed, self.description.metric)
        own = [None] * len(queries) if exclude_digests is None else exclude_digests
        return [
            [Match(row, score, self.records[row]) for row, score in pairs if self.digests[row] != sha256][:top]
            for pairs, sha256 in zip(found, own)
        ]

    def recall(self, top: int = 10) -> float:
        """The share of the true ``top`` best matches that a search finds, measured on up to SAMPLE gallery images.

        An image does not count as its own match.
        """
        rows = np.linspace(0, len(self) - 1, min(SAMPLE, len(self))).astype(int).tolist()
        own = [self.digests[row] for row in rows]
        right, found = (
            [{match.row for match in matches} for matches in self.search(self.features(rows), top, **how)]
            for how in ({"exclude_digests": own, "exact": True}, {"exclude_digests": own})
        )
        return sum(len(a & b) for a, b in zip(right, found)) / max(1, sum(map(len, right)))

    def _allowed(self, excluded: str) -> NDArray[np.bool_]:
        """Which images (N,) are not from a camera; all of them if the camera is ""."""
        if not excluded:
            return np.ones(len(self), bool)
        if self._camera_of is None:
            self._cameras = {}
            numbers = (self._cameras.setdefault(record.camera, len(self._cameras)) for record in self.records)
            self._camera_of = np.fromiter(numbers, np.int64, len(self))
        same = [number for camera, number in self._cameras.items() if same_camera(excluded, camera)]
        return np.isin(self._camera_of, same, invert=True)
