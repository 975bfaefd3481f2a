"""How fast are galleries, and how much memory do they take? Writes results/gallery.md.

    python projects/GDNorm/benchmarks/speed/gallery.py --output logs/gallery.json

Galleries hold 2,048 features for each image. Queries are searched one at a time, as a camera sends them, and 100 at
once. The reference is NumPy's matrix product with all images and a partial sort. Features are random: 10 images of each
identity, identities in 64 dimensions plus noise, mapped into 2,048 dimensions and scaled to length 1. The table
compares the graph (HNSW) that --approximate builds with an IVF index of faiss (4 sqrt(N) cells, of which it searches
16). GiB is the memory that an index takes.

100,000 images take 3 GB of memory. It takes about 15 minutes on two cores.
"""

import multiprocessing
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import faiss
import numpy as np
from benchmarks.shared.measure import arguments, finish
from benchmarks.shared.pages import RESULTS, write_above_reading, written_by
from tabulate import tabulate

from fastreid_gdnorm import Gallery
from fastreid_gdnorm.inference import gallery as settings
from fastreid_gdnorm.inference.description import Description, ModelInput
from fastreid_gdnorm.inference.extraction import Extraction
from fastreid_gdnorm.inference.records import Record

PAGE = RESULTS / "gallery.md"
SIZES = (5_000, 10_000, 20_000, 50_000, 100_000)
DIMENSIONS, LATENT, NOISE, IMAGES_EACH = 2048, 64, 1.2, 10
QUERIES, TOP = 100, 10


def features(images, queries=QUERIES):
    """Features (images, D) of a gallery, and (queries, D) of other images of its identities."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((images // IMAGES_EACH, LATENT), np.float32)
    turn = rng.standard_normal((LATENT, DIMENSIONS), np.float32)
    of_gallery = np.arange(images) % len(centres)
    parts = []
    for identities in (of_gallery, rng.integers(len(centres), size=queries)):
        found = (centres[identities] + NOISE * rng.standard_normal((len(identities), LATENT), np.float32)) @ turn
        parts.append(found / np.linalg.norm(found, axis=1, keepdims=True))
    return parts


def resident():
    """Memory that this process holds, in GiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 2**20


def seconds_of(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def milliseconds_a_query(search, queries):
    """(one at a time, all at once): medians over single queries, and over three batches."""
    single = statistics.median(seconds_of(lambda i=i: search(queries[i : i + 1]))[0] for i in range(len(queries)))
    together = statistics.median(seconds_of(lambda: search(queries))[0] for _ in range(3))
    return 1000 * single, 1000 * together / len(queries)


def exact_rows(images, queries):
    scores = queries @ images.T
    best = np.argpartition(scores, -TOP, axis=1)[:, -TOP:]
    return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 1), axis=1), 1)


def recall(found, right):
    return float(np.mean([np.isin(*pair).mean() for pair in zip(right, found)]))


def measured(size, kind):
    """The table row for one kind of index over ``size`` images; runs in a process of its own."""
    images, queries = features(size)
    right = exact_rows(images, queries)
    before = resident()
    row = {"images": f"{size:,}", "index": kind}
    if kind == "NumPy":
        build, search = 0.0, lambda some: exact_rows(images, some)
    elif kind == "IVF":
        index = faiss.index_factory(DIMENSIONS, f"IVF{int(4 * size**0.5)},Flat", faiss.METRIC_INNER_PRODUCT)
        build = seconds_of(lambda: (index.train(images), index.add(images)))[0]
        index.nprobe = 16
        search = lambda some: index.search(some, TOP)[1]  # noqa: E731
    else:
        settings.APPROXIMATE_FROM = 0
        description = Description("0" * 64, "cosine", DIMENSIONS, ModelInput((256, 128)))
        gallery = Gallery(description, approximate=kind == "graph")
        records = [Record(f"{place}.jpg") for place in range(size)]
        extraction = Extraction(records, [str(place) for place in range(size)], images)
        build = seconds_of(lambda: gallery.add(extraction))[0]
        search = lambda some: [[match.row for match in found] for found in gallery.search(some, TOP)]  # noqa: E731
    grown = resident() - before
    one, many = milliseconds_a_query(search, queries)
    row |= {
        "build, s": round(build, 1),
        "one query, ms": round(one, 2),
        "of 100 at once, ms": round(many, 2),
        "recall@10": round(recall(search(queries), right), 3),
        "GiB": round(grown, 2),
    }
    if kind in ("flat", "graph"):
        folder = tempfile.mkdtemp()
        row["save, s"], _ = seconds_of(lambda: gallery.save(folder))
        row["load, s"], _ = seconds_of(lambda: Gallery.load(folder))
        row["GiB on disk"] = round(sum(file.stat().st_size for file in Path(folder).iterdir()) / 2**30, 2)
        row |= {name: round(row[name], 1) for name in ("save, s", "load, s")}
        shutil.rmtree(folder)
    return row


def apart(*options):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, options)


def what_fits():
    """Memory that a search needs, in GiB, by features per image and number of images."""
    sizes = (10_000, 100_000, 1_000_000)
    links = 4 * 2 * settings.HNSW_LINKS  # bytes for an image's links in the graph's lowest level
    return [
        {"features": wide, "index": kind}
        | {f"{size:,} images, GiB": round(size * (4 * wide + more) / 2**30, 2) for size in sizes}
        for wide in (512, 2048)
        for kind, more in (("flat", 0), ("graph", links))
    ]


if __name__ == "__main__":
    args = arguments(__doc__, repeats=1)
    args.device = "cpu"
    rows = []
    for size in SIZES:
        for kind in ("NumPy", "flat", "graph", "IVF"):
            rows.append(apart(size, kind))
            print(rows[-1], flush=True)
    finish("Galleries", rows, args)
    page = [
        "# Galleries",
        written_by("speed/gallery.py"),
        tabulate(rows, headers="keys", tablefmt="github"),
        "## What fits into memory",
        tabulate(what_fits(), headers="keys", tablefmt="github"),
    ]
    write_above_reading(PAGE, "\n\n".join(page) + "\n")
    print(PAGE)
