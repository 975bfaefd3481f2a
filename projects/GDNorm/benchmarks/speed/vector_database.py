"""How does a vector database compare with a gallery?

    python projects/GDNorm/benchmarks/speed/vector_database.py [--output FILE.json] [--server http://localhost:6333]

Loads 20,000 random features of 512 dimensions, ten images of each identity, from six cameras, and searches one query at
a time, among all images and among those of other cameras than its own. The database is Qdrant: the server in --server,
or else the one inside qdrant-client, which compares a query with all images in NumPy and is meant for small data. It
takes about a minute on two cores.
"""

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import numpy as np
from benchmarks.shared.measure import arguments, finish
from qdrant_client import QdrantClient, models

from fastreid_gdnorm import Gallery
from fastreid_gdnorm.inference.description import Description, ModelInput
from fastreid_gdnorm.inference.extraction import Extraction
from fastreid_gdnorm.inference.records import Record

IMAGES, DIMENSIONS, LATENT, IMAGES_EACH = 20_000, 512, 64, 10
TOP, BATCH, COLLECTION = 10, 1000, "gdnorm_benchmark"
CAMERAS = np.arange(IMAGES) % 6


class Exact:
    """NumPy's matrix product and a sort."""

    def __init__(self, images):
        self._images = images

    def search(self, query, without=None):
        """The rows of the TOP best matches, best first, perhaps leaving out a camera."""
        scores = self._images @ query
        return np.argsort(-(scores if without is None else np.where(without == CAMERAS, -np.inf, scores)))[:TOP]


class InGallery:
    """A gallery that compares all images; searches as for :class:`Exact`."""

    def __init__(self, images):
        self._gallery = Gallery(Description("0" * 64, "cosine", DIMENSIONS, ModelInput((256, 128))))
        records = [Record(f"{number}.jpg", str(camera)) for number, camera in enumerate(CAMERAS)]
        self._gallery.add(Extraction(records, [str(number) for number in range(IMAGES)], images))

    def search(self, query, without=None):
        exclude = None if without is None else [str(without)]
        return [match.row for match in self._gallery.search(query[None], TOP, exclude_cameras=exclude)[0]]


class InQdrant:
    """A new collection, loaded in parts as docs/your-own-data.md does; searches as for :class:`Exact`."""

    def __init__(self, images, client):
        self._client = client
        client.delete_collection(COLLECTION)
        vectors = models.VectorParams(size=DIMENSIONS, distance=models.Distance.COSINE)
        client.create_collection(COLLECTION, vectors)
        client.create_payload_index(COLLECTION, "camera", models.PayloadSchemaType.KEYWORD)
        for start in range(0, IMAGES, BATCH):
            ids = list(range(start, start + BATCH))
            payloads = [{"camera": str(CAMERAS[number])} for number in ids]
            client.upsert(COLLECTION, models.Batch(ids=ids, vectors=images[ids].tolist(), payloads=payloads))
        while client.get_collection(COLLECTION).status != models.CollectionStatus.GREEN:  # a server builds its index
            time.sleep(0.2)

    def search(self, query, without=None):
        matches = [] if without is None else [models.MatchValue(value=str(without))]
        leave_out = models.Filter(must_not=[models.FieldCondition(key="camera", match=match) for match in matches])
        found = self._client.query_points(COLLECTION, query=query.tolist(), query_filter=leave_out, limit=TOP)
        return [point.id for point in found.points]


def features(queries):
    """Features of the images, (IMAGES, D), and of other images of some of their identities, (queries, D)."""
    rng = np.random.default_rng(0)
    identities = np.arange(IMAGES + queries) % (IMAGES // IMAGES_EACH)
    centres = rng.standard_normal((IMAGES // IMAGES_EACH, LATENT), np.float32)
    turn = rng.standard_normal((LATENT, DIMENSIONS), np.float32)
    found = (centres[identities] + rng.standard_normal((len(identities), LATENT), np.float32)) @ turn
    return np.split(found / np.linalg.norm(found, axis=1, keepdims=True), [IMAGES])


def seconds_of(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def measured(make, images, queries):
    """The table row of a way to search."""
    load, system = seconds_of(lambda: make(images))
    line = {"load, s": round(load, 2)}
    for title, cameras in ("one query", [None] * len(queries)), ("other cameras", CAMERAS[: len(queries)]):
        found = [seconds_of(lambda each=each: system.search(*each)) for each in zip(queries, cameras)]
        right = [Exact(images).search(*each) for each in zip(queries, cameras)]
        line[f"{title}, ms"] = round(1000 * statistics.median(seconds for seconds, _ in found), 2)
        shares = [np.isin(rows, best).mean() for best, (_, rows) in zip(right, found)]
        line[f"{title}, recall@{TOP}"] = round(float(np.mean(shares)), 3)
    return line


def main():
    args = arguments(__doc__, repeats=50, server="address of a Qdrant server; its gdnorm_benchmark is replaced")
    images, queries = features(args.repeats)
    client = QdrantClient(args.server) if args.server else QdrantClient(":memory:")
    ways = {
        "NumPy": Exact,
        "gallery": InGallery,
        "Qdrant, a server" if args.server else "Qdrant in this process": lambda images: InQdrant(images, client),
    }
    rows = [{"searched by": name, **measured(make, images, queries)} for name, make in ways.items()]
    finish(f"A vector database, {IMAGES:,} features of {DIMENSIONS} dimensions", rows, args)


if __name__ == "__main__":
    main()
