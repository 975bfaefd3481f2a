"""Compressed features: half a byte for each of at most 256 pieces, to find candidates among millions quickly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from ..disk import replacing
from ..errors import UserError
from .description import Description
from .feature_parts import FeatureParts
from .saved_files import SavedFile

PIECES = 256  # largest number of pieces that a feature is cut into; each takes half a byte
TRAINING_IMAGES = 4096  # number of images that codes are learned from; faiss's k-means uses no more for 16 centroids


class CompressedFeatures:
    """N features in 4-bit product quantisation, which faiss scans within the processor's registers.

    Jégou et al. 2011, "Product Quantization for Nearest Neighbor Search"; André et al. 2017, "Accelerated Nearest
    Neighbor Search with Quick ADC".

    Args:
        index: a trained faiss.IndexPQ, whose codes have 4 bits.
        trained_on: number of images that the gallery had when the index was trained.
    """

    def __init__(self, index: Any, trained_on: int) -> None:
        self.index, self.trained_on = index, trained_on
        self._scan: Any = None

    @classmethod
    def of(cls, features: FeatureParts, description: Description) -> CompressedFeatures:
        """Learn codes from an even sample of a model's features, and compress all of them."""
        index = _new_index(description)
        sample = np.linspace(0, len(features) - 1, min(TRAINING_IMAGES, len(features))).astype(np.intp)
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # k-means of so few numbers leaves threads waiting for each other
        try:
            index.train(_padded(features.take(sample), index.d))
        finally:
            faiss.omp_set_num_threads(threads)
        compressed = cls(index, len(features))
        for block in features.blocks():
            compressed.add(block)
        return compressed

    @classmethod
    def read(
        cls, folder: Path, saved: SavedFile, description: Description, images: int, trained_on: int
    ) -> CompressedFeatures:
        """Read what :meth:`write` has written.

        Raises:
            FileNotFoundError: the file is missing.
            ValueError: it has changed, or does not hold the model's features of this number of images, compressed.
            UserError: faiss cannot read it.
        """
        with saved.open(folder) as stream:
            try:
                index = faiss.read_index(faiss.PyCallbackIOReader(stream.read))
            except (RuntimeError, MemoryError) as error:
                raise UserError(
                    f"faiss {faiss.__version__} cannot read {folder / saved.name} ({' '.join(str(error).split())}): it "
                    "is damaged or was written by a newer faiss; pip install -U faiss-cpu, or build the gallery again"
                ) from error
        if _kind(index) != _kind(_new_index(description)) or index.ntotal != images:
            raise ValueError(f"{saved.name} is not an index of {images} compressed features")
        return cls(index, trained_on)

    def write(self, file: Path) -> None:
        """Write the index to a file."""
        with replacing(file) as part, open(part, "wb") as stream:
            faiss.write_index(self.index, faiss.PyCallbackIOWriter(stream.write))

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def add(self, features: NDArray[np.float32]) -> None:
        """Compress more features (n, D)."""
        padded = _padded(features, self.index.d)
        for index in (self.index, self._scan) if self._scan else (self.index,):
            index.add(padded)

    def put(self, rows: NDArray[np.intp], features: NDArray[np.float32]) -> None:
        """Replace the features of these rows."""
        codes = faiss.rev_swig_ptr(self.index.codes.data(), len(self) * self.index.code_size)
        codes.reshape(len(self), -1)[rows] = self.index.sa_encode(_padded(features, self.index.d))
        self._scan = None

    def remove(self, rows: NDArray[np.intp]) -> None:
        """Remove these rows; later ones move up."""
        self.index.remove_ids(rows.astype(np.int64))
        self._scan = None

    def nearest(self, queries: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """The rows that are nearest to each of the queries (Q, D), by compressed features: (Q, count).

        With fewer than ``count`` rows, the rest are -1.
        """
        if self._scan is None:
            self._scan = faiss.IndexPQFastScan(self.index)
        rows: NDArray[np.int64] = self._scan.search(_padded(queries, self.index.d), count)[1]
        return rows


def _new_index(description: Description) -> Any:
    """An index that is not trained, of pieces of equal length."""
    size = -(-description.features // PIECES)
    pieces = -(-description.features // size)
    metric = faiss.METRIC_INNER_PRODUCT if description.metric == "cosine" else faiss.METRIC_L2
    return faiss.IndexPQ(size * pieces, pieces, 4, metric)


def _kind(index: Any) -> tuple[object, ...]:
    return type(index), index.d, index.metric_type, index.sa_code_size()


def _padded(features: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Features with zeros at their ends, up to this length."""
    return np.pad(features, ((0, 0), (0, length - features.shape[1])))
