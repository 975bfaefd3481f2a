"""How fast are galleries, and how much memory do they take? Writes results/gallery.md.

    python projects/GDNorm/benchmarks/speed/gallery.py
    python projects/GDNorm/benchmarks/speed/gallery.py --million

Images have 2,048 features: 10 images of each identity and 8 cameras, identities, images and cameras in 64 dimensions,
mapped into 2,048 and scaled to length 1. Queries are other images of the same identities. They are searched one at a
time, as a camera sends them, without and with the images of the query's own camera left out, and 100 at once. The
references are NumPy's matrix product with all images and a partial sort, and faiss's flat index and HNSW graph.

"MiB" is memory that the system cannot take back (VmRSS less RssFile); files that are mapped, as a gallery's features
are, can also fill memory that nobody else needs. With --million, a gallery of 1,000,000 images is built in parts as
``fastreid index`` builds it, 10,000 images are added, and it is searched in another process.

On two cores the first command takes 3 minutes, 6 GB of memory and 12 GB of disk; the second one takes 2 minutes, 2 GB
of memory and 10 GB of disk.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import faiss
import numpy as np
from benchmarks.shared.measure import interleave, row
from benchmarks.shared.pages import RESULTS, page_of, table_of, write_above_reading
from benchmarks.shared.pages import measured as measured_on

from fastreid_gdnorm import Gallery
from fastreid_gdnorm.inference.description import Description, ModelInput
from fastreid_gdnorm.inference.extraction import Extraction
from fastreid_gdnorm.inference.indexing import BATCH_BYTES
from fastreid_gdnorm.inference.records import Record

PAGE = RESULTS / "gallery.md"
SIZES = (5_000, 20_000, 100_000)
KINDS = {  # and the sizes at which they are measured
    "NumPy": SIZES,
    "faiss, Flat": SIZES,
    "faiss, HNSW32": (5_000, 20_000),
    "gallery": SIZES,
    "approximate gallery": (20_000, 100_000),
}
LENGTH, LATENT, NOISE, IMAGES_EACH, CAMERAS, CAMERA_SHARE = 2048, 64, 1.2, 10, 8, 0.5
LARGE, MILLION, MORE = 500_000, 1_000_000, 10_000
QUERIES, TOP = 100, 10


class Drawn:
    """Random features of a gallery of this size, a part at a time."""

    def __init__(self, images, length=LENGTH):
        rng = np.random.default_rng(0)
        self.identities = rng.standard_normal((images // IMAGES_EACH, LATENT), np.float32)
        self.cameras = CAMERA_SHARE * rng.standard_normal((CAMERAS, LATENT), np.float32)
        self.turn = rng.standard_normal((LATENT, length), np.float32)

    def gallery(self, start, stop):
        """Features (stop - start, D) of the gallery's images with these numbers."""
        numbers = np.arange(start, stop)
        return self._features(numbers % len(self.identities), numbers % CAMERAS, np.random.default_rng((1, start)))

    def queries(self):
        """(features (QUERIES, D), cameras) of other images of the gallery's identities."""
        rng = np.random.default_rng(2)
        identities, cameras = rng.integers(len(self.identities), size=QUERIES), rng.integers(CAMERAS, size=QUERIES)
        return self._features(identities, cameras, rng), cameras

    def _features(self, identities, cameras, rng):
        noise = NOISE * rng.standard_normal((len(identities), LATENT), np.float32)
        features = (self.identities[identities] + self.cameras[cameras] + noise) @ self.turn
        return features / np.linalg.norm(features, axis=1, keepdims=True)


def extraction(features, start):
    """What ``fastreid index`` would extract from images with these features, whose numbers begin at ``start``."""
    numbers = range(start, start + len(features))
    records = [Record(f"/crops/{number // 1000}/{number}.jpg", str(number % CAMERAS)) for number in numbers]
    return Extraction(records, [f"{number:064x}" for number in numbers], features)


def description(length=LENGTH):
    return Description("0" * 64, "cosine", length, ModelInput((256, 128)))


def memory():
    """Memory of this process that the system cannot take back, in MiB (Linux)."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return (int(fields["VmRSS"].split()[0]) - int(fields["RssFile"].split()[0])) / 2**10


def seconds_of(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def median_ms(search, many):
    return 1000 * statistics.median(seconds_of(lambda i=i: search(i))[0] for i in range(many))


def exact_rows(images, queries):
    scores = queries @ images.T
    best = np.argpartition(scores, -TOP, axis=1)[:, -TOP:]
    return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 1), axis=1), 1)


def recall(found, right):
    return round(float(np.mean([np.isin(*pair).mean() for pair in zip(right, found)])), 3)


def rows_found(gallery, queries, cameras=None, exact=False):
    excluded = None if cameras is None else list(map(str, cameras))
    found = gallery.search(queries, TOP, exclude_cameras=excluded, exact=exact)
    return [[match.row for match in matches] for matches in found]


def measured(size, kind):
    """The table row for one kind of index over ``size`` images; runs in a process of its own."""
    drawn = Drawn(size)
    images, (queries, cameras) = drawn.gallery(0, size), drawn.queries()
    right = exact_rows(images, queries)
    line, others = {"images": f"{size:,}", "index": kind}, {}
    before = memory()
    if kind == "NumPy":
        build, search = 0.0, lambda some: exact_rows(images, some)
    elif kind.startswith("faiss"):
        index = faiss.index_factory(LENGTH, kind.partition(", ")[2], faiss.METRIC_INNER_PRODUCT)
        build = seconds_of(lambda: index.add(images))[0]
        parameters = faiss.SearchParametersHNSW(efSearch=256) if "HNSW" in kind else None
        search = lambda some: index.search(some, TOP, params=parameters)[1]  # noqa: E731
    else:
        gallery, given = Gallery(description(), approximate=kind == "approximate gallery"), extraction(images, 0)
        build = seconds_of(lambda: gallery.add(given))[0]
        folder = Path(tempfile.mkdtemp())
        save, _ = seconds_of(lambda: gallery.save(folder))
        load, gallery = seconds_of(lambda: Gallery.load(folder))
        shutil.rmtree(folder)  # its files stay mapped
        search = lambda some: rows_found(gallery, some)  # noqa: E731
        without = median_ms(lambda i: rows_found(gallery, queries[i : i + 1], cameras[i : i + 1]), QUERIES)
        others = {"its camera left out, ms": round(without, 2), "save, s": round(save, 1), "load, s": round(load, 1)}
    found = search(queries)
    return {
        **line,
        "build, s": round(build, 1),
        "one query, ms": round(median_ms(lambda i: search(queries[i : i + 1]), QUERIES), 2),
        "of 100 at once, ms": round(median_ms(lambda _: search(queries), 3) / QUERIES, 2),
        "recall@10": recall(found, right),
        "MiB": round(memory() - before),
        **others,
    }


def apart(function, *options):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, options)


def adding_row(length):
    """Adding MORE images to a large gallery on disk, against faiss's flat index alone."""
    drawn = Drawn(LARGE, length)
    more = extraction(drawn.gallery(LARGE, LARGE + MORE), LARGE)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        gallery, index = Gallery(description(length)), faiss.IndexFlatIP(length)
        for start in range(0, LARGE, 50_000):
            features = drawn.gallery(start, start + 50_000)
            gallery.add(extraction(features, start))
            gallery.save(folder / "before")
            index.add(features)
        faiss.write_index(index, str(folder / "before.faiss"))
        del gallery, index

        def ours():
            shutil.copytree(folder / "before", folder / "after", copy_function=os.link)
            add_to(folder / "after", more)
            shutil.rmtree(folder / "after")

        def faiss_alone():
            index = faiss.read_index(str(folder / "before.faiss"))
            index.add(more.features)
            faiss.write_index(index, str(folder / "after.faiss"))

        seconds = interleave({"gallery": ours, "faiss": faiss_alone}, 3)
    what = f"load {LARGE:,} images of {length:,} features, add {MORE:,}, save"
    return row(what, "faiss's flat index", "<= 2", seconds, "gallery", "faiss")


def add_to(folder, given):
    gallery = Gallery.load(folder)
    gallery.add(given)
    gallery.save(folder)


class MostMemory(threading.Thread):
    """The largest :func:`memory` while a block runs, looked at 100 times a second."""

    def __enter__(self):
        self.before, self.most, self.is_running = memory(), 0.0, True
        self.start()
        return self

    def run(self):
        while self.is_running:
            self.most = max(self.most, memory() - self.before)
            time.sleep(0.01)

    def __exit__(self, *_):
        self.is_running = False
        self.join()


def built_million(folder):
    """Build a gallery of a million images in parts, and add more: seconds, MiB, seconds."""
    drawn, gallery, building = Drawn(MILLION), Gallery(description(), approximate=True), 0.0
    batch = BATCH_BYTES // (4 * LENGTH)
    with MostMemory() as used:
        for first in range(0, MILLION, batch):
            given = extraction(drawn.gallery(first, min(first + batch, MILLION)), first)
            start = time.perf_counter()
            gallery.add(given)
            gallery.save(folder)
            building += time.perf_counter() - start
            print(f"{len(gallery):,} images, {building:.0f} s, {used.most:,.0f} MiB", flush=True)
    del gallery
    given = extraction(drawn.gallery(MILLION, MILLION + MORE), MILLION)
    return building, used.most, seconds_of(lambda: add_to(folder, given))[0]


def searched_million(folder):
    """Search it: seconds to load; ms of the first query, any query, one less its camera, an exact one; recalls; MiB."""
    drawn, before = Drawn(MILLION), memory()
    queries, cameras = drawn.queries()
    load, gallery = seconds_of(lambda: Gallery.load(folder))
    first = median_ms(lambda i: rows_found(gallery, queries[i : i + 1]), 1)
    one = median_ms(lambda i: rows_found(gallery, queries[i : i + 1]), QUERIES)
    less = median_ms(lambda i: rows_found(gallery, queries[i : i + 1], cameras[i : i + 1]), QUERIES)
    used = memory() - before
    exact = median_ms(lambda i: rows_found(gallery, queries[i : i + 1], exact=True), 3)
    recalls = [
        recall(rows_found(gallery, queries, excluded), rows_found(gallery, queries, excluded, exact=True))
        for excluded in (None, cameras)
    ]
    return load, first, one, less, exact, *recalls, used


def million_rows():
    with tempfile.TemporaryDirectory() as folder:
        building, most, adding = apart(built_million, Path(folder))
        load, first, one, less, exact, of_all, of_others, used = apart(searched_million, Path(folder))
        disk = sum(file.stat().st_size for file in Path(folder).iterdir()) / 2**30
    lines = (
        ("build in parts", building, "s", ""),
        ("most memory of building", most, "MiB", f"<= {used + 3072:,.0f}"),
        (f"load, add {MORE:,} images, save", adding, "s", ""),
        ("load", load, "s", ""),
        ("the first query", first, "ms", ""),
        ("a query", one, "ms", "<= 50"),
        ("a query, its camera left out", less, "ms", "<= 50"),
        ("recall@10", of_all, "", ">= 0.95"),
        ("recall@10, its camera left out", of_others, "", ">= 0.95"),
        ("an exact query", exact, "ms", ""),
        ("memory of searching", used, "MiB", ""),
        ("files", disk, "GiB", ""),
    )
    return [
        {
            "what": what,
            "measured": f"{value:,.0f} {unit}" if value > 99 else f"{value:.3g} {unit}".strip(),
            "goal": goal,
        }
        for what, value, unit, goal in lines
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", action="store_true", help="measure a gallery of 1,000,000 images instead")
    parser.add_argument("--output", type=Path, default=Path("logs/gallery"), help="default: %(default)s")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    if args.million:
        save(args.output / "3.json", f"{MILLION:,} images of {LENGTH:,} features", million_rows())
    else:
        rows = [apart(measured, size, kind) for size in SIZES for kind in KINDS if size in KINDS[kind]]
        save(args.output / "1.json", f"Galleries of {LENGTH:,} features", rows)
        save(args.output / "2.json", "Adding images", [apart(adding_row, length) for length in (512, LENGTH)])
    found = [json.loads(file.read_text()) for file in sorted(args.output.glob("[123].json"))]
    introduction = "Written by `python projects/GDNorm/benchmarks/speed/gallery.py`, without and with `--million`."
    write_above_reading(PAGE, page_of("Galleries", introduction, found))
    print(PAGE)


def save(file, title, rows):
    print(table_of(rows))
    file.write_text(json.dumps({"title": title, "by": measured_on("cpu"), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
