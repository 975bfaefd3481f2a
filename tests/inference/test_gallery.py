"""A gallery finds what a loop over all images finds, and what is on disk is whole or refused."""

import json
import multiprocessing
import os
import random
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastreid_gdnorm import FeatureExtractor, Gallery, cli
from fastreid_gdnorm.disk import locked
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.inference import extraction, gallery, gallery_files
from fastreid_gdnorm.inference.description import Description, ModelInput
from fastreid_gdnorm.inference.extraction import Extraction
from fastreid_gdnorm.inference.records import Record

from ..conftest import undisturbed
from ..runs.toy import one_line

DIMENSIONS = 24


def described(metric="cosine", model="m" * 64):
    return Description(model, metric, DIMENSIONS, ModelInput((4, 2)))


def drawn(images, seed=0, cameras=3, metric="cosine"):
    """Features around a few centres, with cameras in turn."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, images // 5), DIMENSIONS))
    features = (centres[rng.integers(len(centres), size=images)] + 0.3 * rng.normal(size=(images, DIMENSIONS))).astype(
        np.float32
    )
    if metric == "cosine":
        features /= np.linalg.norm(features, axis=1, keepdims=True)
    records = [
        Record(f"/{seed}/{place}.jpg", str(place % cameras), f"{place}", f"{place % 7}") for place in range(images)
    ]
    return Extraction(records, [f"{seed}-{place}" for place in range(images)], features)


def filled(metric="cosine", images=60, **options):
    made = Gallery(described(metric), **options)
    made.add(drawn(images, metric=metric))
    return made


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("top", [1, 10, 100])
def test_a_search_finds_what_a_loop_over_all_images_finds(metric, top):
    images, queries = drawn(60, metric=metric), drawn(9, seed=1, metric=metric)
    searched = filled(metric)
    not_from = ["0", "1", "2", "", "7"] + [""] * 4
    not_same_as = [images.digests[place] for place in range(8)] + ["unknown"]
    found = searched.search(queries.features, top, not_from=not_from, not_same_as=not_same_as)
    for number, query in enumerate(queries.features.astype(float)):
        scores = {}
        for row, other in enumerate(images.features.astype(float)):
            if images.records[row].camera == not_from[number] or images.digests[row] == not_same_as[number]:
                continue
            scores[row] = sum(query * other) if metric == "cosine" else -sum((query - other) ** 2)
        best = sorted(scores, key=scores.get, reverse=True)[:top]
        assert [match.row for match in found[number]] == best
        assert [match.score for match in found[number]] == pytest.approx(
            [scores[row] for row in best], rel=1e-5, abs=1e-5
        )
        assert [match.record for match in found[number]] == [images.records[row] for row in best]


def test_images_are_added_once_and_removed(tmp_path):
    changed, more = filled(images=20), drawn(10, seed=1)
    twice = Extraction(more.records * 2, more.digests * 2, np.concatenate([more.features] * 2))
    assert changed.add(twice) == 10 and changed.add(drawn(20)) == 0 and len(changed) == 30
    changed.remove({0, 5, 29})
    kept = [row for row in range(20) if row not in (0, 5)]
    assert changed.digests == [*(f"0-{row}" for row in kept), *(f"1-{row}" for row in range(9))]
    assert np.array_equal(changed.features(), np.concatenate((drawn(20).features[kept], more.features[:9])))
    assert changed.search(more.features[:1], 1)[0][0].record.path == "/1/0.jpg"
    with pytest.raises(UserError, match=r"features are of shape \(N, 24\), got \(1, 3\)"):
        changed.add(Extraction(more.records[:1], ["new"], np.ones((1, 3), np.float32)))
    with pytest.raises(UserError, match=r"queries are of shape \(Q, 24\), got \(24,\)"):
        changed.search(more.features[0])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_large_gallery_is_searched_approximately_if_it_may_be(metric, monkeypatch, tmp_path):
    monkeypatch.setattr(gallery, "APPROXIMATE_FROM", 50)
    exact, small, large = filled(metric), filled(metric, 40, approximate=True), filled(metric, approximate=True)
    assert [made.is_approximate for made in (exact, small, large)] == [False, False, True]
    small.add(drawn(20, seed=1, metric=metric))
    assert small.is_approximate and len(small) == 60
    assert np.array_equal(large.features(), exact.features())
    assert large.recall(10) > 0.9
    queries = drawn(9, seed=1, metric=metric).features
    matches = large.search(queries, 5, not_from=["0"] * 9)
    assert all(match.record.camera != "0" for found in matches for match in found)
    large.save(tmp_path)
    assert Gallery.load(tmp_path).is_approximate
    assert Gallery.load(tmp_path).search(queries, 5, not_from=["0"] * 9) == matches
    large.remove(set(range(30)))
    assert not large.is_approximate and len(large.search(queries, 99)[0]) == 30


def test_what_was_saved_is_loaded(tmp_path):
    saved = filled("euclidean", model="logs/mine")
    saved.records[0] = Record('/a "quoted", path/ünï.jpg', "", "line\nbreak", "1")
    saved.records[1] = Record(os.fsdecode(b"/in/latin-1/caf\xe9.jpg"))
    for _ in range(2):
        saved.save(tmp_path / "site")
    loaded = Gallery.load(tmp_path / "site")
    assert (loaded.records, loaded.digests) == (saved.records, saved.digests)
    assert (loaded.description, loaded.model) == (saved.description, "logs/mine")
    assert np.array_equal(loaded.features(), saved.features())
    assert sorted(file.name for file in (tmp_path / "site").iterdir()) == [
        "gallery.json",
        "images-2.csv",
        "index-2.faiss",
    ]


def cut_short(file):
    file.write_bytes(file.read_bytes()[:-20])


def one_bit_flipped(file):
    contents = bytearray(file.read_bytes())
    contents[len(contents) // 2] ^= 1
    file.write_bytes(contents)


DAMAGE = {
    "index cut short": ("index-1.faiss", cut_short, "index-1.faiss is missing or has changed"),
    "index changed": ("index-1.faiss", one_bit_flipped, "index-1.faiss is missing or has changed"),
    "index missing": ("index-1.faiss", Path.unlink, "index-1.faiss is missing or has changed"),
    "table changed": ("images-1.csv", one_bit_flipped, "images-1.csv is missing or has changed"),
    "contents cut short": ("gallery.json", cut_short, "gallery.json cannot be read"),
    "contents of another kind": ("gallery.json", lambda file: file.write_text("[]"), "gallery.json cannot be read"),
    "contents without files": ("gallery.json", lambda file: file.write_text('{"version": 2}'), "cannot be read"),
    "later version": (
        "gallery.json",
        lambda file: file.write_text(file.read_text().replace('"version": 2', '"version": 3')),
        "is of version 3",
    ),
    "none": ("gallery.json", Path.unlink, "is no gallery: it has no gallery.json; fastreid index makes one"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_gallery_is_refused_in_one_line(damage, tmp_path, fastreid_here):
    name, spoil, message = DAMAGE[damage]
    filled().save(tmp_path)
    spoil(tmp_path / name)
    assert message in one_line(fastreid_here("index", "--gallery", tmp_path, "--list"))


def test_index_adds_lists_and_removes(toy_run, datasets, tmp_path, fastreid_here):
    people, site = datasets / "RenderedStation", tmp_path / "site"

    def index(*words):
        done = fastreid_here("index", "--gallery", site, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    test = sorted((people / "bounding_box_test").glob("*.jpg"))
    assert f"{len(test)} images added, 0 were there" in index("--model", toy_run, people / "bounding_box_test")
    (tmp_path / "copy.jpg").write_bytes(test[0].read_bytes())
    queries = sorted((people / "query").glob("*.jpg"))
    said = index(people / "query", tmp_path / "copy.jpg")
    assert f"{len(queries)} images added, 1 were there" in said
    made = Gallery.load(site)
    assert [record.path for record in made.records] == list(map(str, test + queries))
    assert np.abs(made.features() - FeatureExtractor(toy_run)(test + queries)).max() <= 1e-6
    assert f"{len(queries)} images removed; {len(test)} in all" in index("--remove", "*/query/*")
    listed = index("--list")
    assert str(test[0]) in listed and str(queries[0]) not in listed and f"{len(test)} images" in listed
    assert [record.path for record in Gallery.load(site).records] == list(map(str, test))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_odd_pictures_are_indexed_and_no_picture_stops_it_without_loss(toy_run, datasets, tmp_path, fastreid_here):
    source = Image.open(sorted((datasets / "RenderedStation" / "query").iterdir())[0])
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees
    grey = source.convert("L")
    odd, site = tmp_path / "odd", tmp_path / "site"
    odd.mkdir()
    source.save(odd / "plain.png")
    source.rotate(90, expand=True).save(odd / "turned.png", exif=turned)
    grey.save(odd / "grey.png")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(odd / "sixteen.png")
    source.convert("CMYK").save(odd / "cmyk.tif")
    source.resize((1, 1)).save(odd / "pixel.png")
    (odd / "a_text.jpg").write_text("no picture")
    words = ["index", "--model", toy_run, odd, "--gallery", site]
    assert "a_text.jpg" in one_line(fastreid_here(*words))
    assert not gallery_files.is_gallery(site)
    source.resize((5000, 20_000), Image.Resampling.NEAREST).save(odd / "huge.jpg")
    done = fastreid_here(*words, "--skip-unreadable")
    assert done.returncode == 0 and "7 images added" in done.stdout, done.stderr
    made = Gallery.load(site)
    features = {Path(record.path).stem: feature for record, feature in zip(made.records, made.features())}
    for one, other in ("plain", "turned"), ("grey", "sixteen"), ("plain", "cmyk"):
        assert features[one] @ features[other] >= 0.999, (one, other)
    assert features["plain"] @ features["huge"] > features["plain"] @ features["pixel"]


def test_another_models_gallery_and_what_names_nothing_are_refused(toy_run, datasets, tmp_path, fastreid_here):
    filled(model=str(toy_run)).save(tmp_path / "site")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    images = datasets / "RenderedStation" / "query"
    for words, message in [
        (["index", images, "--gallery", tmp_path / "site"], "the gallery was made by model mmmm"),
        (["search", images, "--gallery", tmp_path / "site"], "their features cannot be compared"),
        (["index", images, "--gallery", tmp_path / "new"], "name the --model to make it with"),
        (["index", images, "--gallery", tmp_path / "file", "--model", toy_run], "file is a file: name a folder"),
        (["index", "--gallery", tmp_path / "new"], "name IMAGES to add, or --list or --remove"),
        (["index", tmp_path / "empty", "--gallery", tmp_path / "new", "--model", toy_run], "empty has no image"),
        (["index", "--gallery", tmp_path / "site", "--remove", "nothing*"], "matches no path"),
        (["index", "--gallery", tmp_path / "new", "--remove", "*"], "is not there"),
    ]:
        assert message in one_line(fastreid_here(*words))
    assert not (tmp_path / "new").exists() and len(Gallery.load(tmp_path / "site")) == 60


def in_a_process(words):
    """Start the command in a process of its own that has everything imported."""

    def call():
        with undisturbed():
            os._exit(cli.main(list(map(str, words))))

    process = multiprocessing.get_context("fork").Process(target=call)
    process.start()
    return process


def test_killed_at_any_moment_it_ends_as_if_unbroken(toy_run, datasets, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "CHUNK", 2)
    people, site, unbroken = datasets / "RenderedStation", tmp_path / "site", tmp_path / "unbroken"
    first, then = people / "query", [people / "bounding_box_test", people / "query"]

    def index(folder, *images):
        return ["index", "--model", toy_run, *images, "--gallery", folder]

    for words in index(unbroken, first), index(site, first):
        assert cli.main(list(map(str, words))) == 0
    start = time.monotonic()
    process = in_a_process(index(unbroken, *then))
    process.join(60)
    duration = time.monotonic() - start
    assert process.exitcode == 0
    old, new = (Gallery.load(folder) for folder in (site, unbroken))
    chance = random.Random(0)
    for _ in range(10):
        process = in_a_process(index(site, *then))
        time.sleep(chance.uniform(0, duration))
        os.kill(process.pid, signal.SIGKILL)
        process.join(60)
        assert Gallery.load(site).digests in (old.digests, new.digests)
    process = in_a_process(index(site, *then))
    process.join(60)
    assert process.exitcode == 0
    ended = Gallery.load(site)
    assert (ended.records, ended.digests) == (new.records, new.digests)
    assert np.abs(ended.features() - new.features()).max() <= 1e-6
    assert len(list(site.iterdir())) == len(list(unbroken.iterdir())) == 4  # three of the gallery's, and the lock


def test_two_processes_do_not_write_one_gallery(toy_run, tmp_path, fastreid_here):
    filled(model=str(toy_run)).save(tmp_path)
    with locked(tmp_path):
        done = fastreid_here("index", "--gallery", tmp_path, "--remove", "*")
    assert "another process is at work in" in one_line(done)


def test_a_reader_takes_what_another_process_has_put_in_place_meanwhile(tmp_path, monkeypatch):
    filled(images=20).save(tmp_path)
    real = gallery_files.digest

    def replaced_meanwhile(file):
        monkeypatch.setattr(gallery_files, "digest", real)
        filled(images=30).save(tmp_path)
        return real(file) if Path(file).exists() else "gone"

    monkeypatch.setattr(gallery_files, "digest", replaced_meanwhile)
    assert len(Gallery.load(tmp_path)) == 30


def test_build_takes_what_the_command_takes(toy_run, datasets):
    extractor = FeatureExtractor(toy_run)
    made = Gallery.build(extractor, [str(datasets / "RenderedStation" / "query")])
    (matches,) = made.search(extractor(made.records[3].path), top=1)
    assert matches[0].row == 3 and matches[0].score == pytest.approx(1, abs=1e-5)
    assert json.loads(made.description.to_property())["model"] == extractor.description.model
    assert re.fullmatch(r"[0-9a-f]{64}", made.digests[0])
