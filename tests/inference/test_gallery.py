"""A gallery finds what a loop over all images finds; on disk it is either complete or refused."""

import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

import faiss
import numpy as np
import pytest
from PIL import Image

from fastreid_gdnorm import FeatureExtractor, Gallery, cli
from fastreid_gdnorm.disk import locked
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.inference import extraction, gallery, gallery_files
from fastreid_gdnorm.inference.description import Description, ModelInput
from fastreid_gdnorm.inference.extraction import Extraction
from fastreid_gdnorm.inference.journal import Journal
from fastreid_gdnorm.inference.records import Record

from ..conftest import undisturbed
from ..runs.toy import one_line

DIMENSIONS = 24


def described(metric="cosine", model="m" * 64):
    return Description(model, metric, DIMENSIONS, ModelInput((4, 2)))


def random_images(images, seed=0, cameras=3, metric="cosine"):
    """Random features around a few centres, with cameras in turn."""
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
    made.add(random_images(images, metric=metric))
    return made


def test_old_argument_names_of_search_still_work():
    queries, searched = random_images(3, seed=1).features, filled()
    with pytest.warns(DeprecationWarning, match="search: not_from is now exclude_cameras"):
        old = searched.search(queries, not_from=["1"] * 3)
    assert old == searched.search(queries, exclude_cameras=["1"] * 3) != searched.search(queries)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("top", [1, 10, 100])
def test_a_search_finds_what_a_loop_over_all_images_finds(metric, top):
    images, queries = random_images(60, metric=metric), random_images(9, seed=1, metric=metric)
    searched = filled(metric)
    exclude_cameras = ["0", "1", "2", "", "7"] + [""] * 4
    exclude_digests = [images.digests[place] for place in range(8)] + ["unknown"]
    found = searched.search(queries.features, top, exclude_cameras=exclude_cameras, exclude_digests=exclude_digests)
    for number, query in enumerate(queries.features.astype(float)):
        scores = {}
        for row, other in enumerate(images.features.astype(float)):
            if images.records[row].camera == exclude_cameras[number] or images.digests[row] == exclude_digests[number]:
                continue
            scores[row] = sum(query * other) if metric == "cosine" else -sum((query - other) ** 2)
        best = sorted(scores, key=scores.get, reverse=True)[:top]
        assert [match.row for match in found[number]] == best
        assert [match.score for match in found[number]] == pytest.approx(
            [scores[row] for row in best], rel=1e-5, abs=1e-5
        )
        assert [match.record for match in found[number]] == [images.records[row] for row in best]


def test_an_image_is_added_once_and_can_be_removed(tmp_path):
    changed, more = filled(images=20), random_images(10, seed=1)
    twice = Extraction(more.records * 2, more.digests * 2, np.concatenate([more.features] * 2))
    assert changed.add(twice) == 10 and changed.add(random_images(20)) == 0 and len(changed) == 30
    changed.remove({0, 5, 29})
    kept = [row for row in range(20) if row not in (0, 5)]
    assert changed.digests == [*(f"0-{row}" for row in kept), *(f"1-{row}" for row in range(9))]
    assert np.array_equal(changed.features(), np.concatenate((random_images(20).features[kept], more.features[:9])))
    assert changed.search(more.features[:1], 1)[0][0].record.path == "/1/0.jpg"
    with pytest.raises(UserError, match=r"features must be numbers of shape \(N, 24\); got \(1, 3\)"):
        changed.add(Extraction(more.records[:1], ["new"], np.ones((1, 3), np.float32)))
    with pytest.raises(UserError, match=r"queries must be numbers of shape \(Q, 24\); got \(24,\)"):
        changed.search(more.features[0])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_large_gallery_is_searched_approximately_on_request(metric, monkeypatch, tmp_path):
    monkeypatch.setattr(gallery, "APPROXIMATE_FROM", 50)
    exact, small, large = filled(metric), filled(metric, 40, approximate=True), filled(metric, approximate=True)
    assert [made.is_approximate for made in (exact, small, large)] == [False, False, True]
    small.add(random_images(20, seed=1, metric=metric))
    assert small.is_approximate and len(small) == 60
    assert np.array_equal(large.features(), exact.features())
    assert large.recall(10) > 0.9
    queries = random_images(9, seed=1, metric=metric).features
    matches = large.search(queries, 5, exclude_cameras=["0"] * 9)
    assert all(match.record.camera != "0" for found in matches for match in found)
    large.save(tmp_path)
    assert Gallery.load(tmp_path).is_approximate
    assert Gallery.load(tmp_path).search(queries, 5, exclude_cameras=["0"] * 9) == matches
    large.remove(set(range(30)))
    assert not large.is_approximate and len(large.search(queries, 99)[0]) == 30


def test_a_saved_gallery_is_loaded_unchanged(tmp_path):
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
        "has format version 3",
    ),
    "none": ("gallery.json", Path.unlink, "is not a gallery: it has no gallery.json; build one with fastreid index"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_gallery_is_refused_in_one_line(damage, tmp_path, fastreid_here):
    name, spoil, message = DAMAGE[damage]
    filled().save(tmp_path)
    spoil(tmp_path / name)
    assert message in one_line(fastreid_here("index", "--gallery", tmp_path, "--list"))


def tampered(change):
    """A change to a gallery that keeps its digests valid."""

    def spoil(file):
        contents = json.loads(file.read_text())
        change(file.parent, contents)
        contents["files"] = {name: gallery_files.digest(file.parent / name) for name in contents["files"]}
        file.write_text(json.dumps(contents))

    return spoil


def with_index(index):
    return lambda folder, _: faiss.write_index(index, str(folder / "index-1.faiss"))


def with_table(change):
    return lambda folder, _: (folder / "images-1.csv").write_text(change((folder / "images-1.csv").read_text()))


def with_features(value):
    index = faiss.IndexFlatIP(DIMENSIONS)
    index.add(np.full((60, DIMENSIONS), value, np.float32))
    return with_index(index)


def of_a_newer_faiss(folder, _):
    (folder / "index-1.faiss").write_bytes(b"IxZZ" + (folder / "index-1.faiss").read_bytes()[4:])


TAMPERED = {
    "fewer features": with_index(faiss.IndexFlatIP(DIMENSIONS)),
    "other dimension": with_index(faiss.IndexFlatIP(DIMENSIONS + 1)),
    "other metric": with_index(faiss.IndexFlatL2(DIMENSIONS)),
    "other type": with_index(faiss.index_factory(DIMENSIONS, "PQ4x4")),
    "features NaN": with_features(np.nan),
    "features infinite": with_features(np.inf),
    "index of a newer faiss": of_a_newer_faiss,
    "index of nothing": lambda folder, _: (folder / "index-1.faiss").write_bytes(b""),
    "a row less": with_table(lambda text: text[: text.rstrip().rfind("\n") + 1]),
    "a column less": with_table(lambda text: text.replace("identity,", "", 1)),
    "a cell less": with_table(lambda text: text.replace(",0-59", "")),
    "a row twice": with_table(lambda text: text.replace(",0-59", ",0-58")),
    "an empty table": with_table(lambda text: ""),
    "a cell too long": with_table(lambda text: text.replace(",0-59", ",0-59" + "9" * 200_000)),
    "no description": lambda _, contents: contents.update(description="{}"),
    "an unknown metric": lambda _, contents: contents.update(
        description=contents["description"].replace("cosine", "manhattan")
    ),
    "files of others": lambda folder, contents: contents.update(files={"../index-1.faiss": 0, "images-1.csv": 0}),
    "a number for a path": lambda _, contents: contents.update(path=1),
}


@pytest.mark.parametrize("change", TAMPERED)
def test_invalid_contents_with_valid_digests_are_refused_in_one_line(change, tmp_path, fastreid_here):
    site = tmp_path / "site"
    filled().save(site)
    (tmp_path / "index-1.faiss").write_bytes(b"not the gallery's")
    tampered(TAMPERED[change])(site / "gallery.json")
    said = one_line(fastreid_here("index", "--gallery", site, "--list"))
    assert "is damaged" in said and ("faiss-cpu" in said) == change.startswith("index of")


def test_saving_removes_only_the_gallerys_own_files(tmp_path):
    """The user's files stay unchanged whatever their names, and no old file of the gallery stays, even after a kill."""
    others = [
        "images-2024.csv",
        "index-old.faiss",
        "images-.csv",
        "index-2.faiss",
        "images-3.csv.part",
        "index-x-1.faiss",
    ]
    for name in others:
        (tmp_path / name).write_text(name)
    for images in 10, 20, 30:
        filled(images=images).save(tmp_path)
    with pytest.raises(ZeroDivisionError):
        killed_while_writing(tmp_path)
    assert len(Gallery.load(tmp_path)) == 30
    filled(images=40).save(tmp_path)
    (index, table) = json.loads((tmp_path / "gallery.json").read_text())["files"]
    assert {file.name for file in tmp_path.iterdir()} == {*others, "gallery.json", index, table}
    assert all((tmp_path / name).read_text() == name for name in others)
    own = tmp_path / "own"
    own.mkdir()
    (own / "gallery.json").write_text('{"pictures": []}')
    with pytest.raises(
        UserError, match="gallery.json does not belong to a gallery: remove it, or choose another folder"
    ):
        filled().save(own)


def killed_while_writing(folder):
    stored = filled(images=35)
    stored.records[20] = (1 / number for number in (1, 0))
    stored.save(folder)


def test_an_unusable_folder_is_refused_before_the_work(toy_run, datasets, tmp_path, fastreid_here):
    (tmp_path / "gallery.writing").write_text("a list of mine")
    images = datasets / "RenderedStation" / "query"
    said = one_line(fastreid_here("index", "--model", toy_run, images, "--gallery", tmp_path))
    assert "gallery.writing does not belong to a gallery" in said
    assert [file.name for file in tmp_path.iterdir()] == ["gallery.writing"]


def test_a_journal_removes_only_its_own_parts(tmp_path):
    kept = Journal(tmp_path / "journal", "a" * 64)
    kept.keep(["x"], np.ones((1, 3), np.float32))
    own = tmp_path / "journal" / ("a" * 16)
    for part in "000001.npz.part", "000001.npz.0a1b2c3d.part":
        (own / part).write_text("begun when it was killed")
    (tmp_path / "journal" / "notes.txt").write_text("the user's")
    (own / "mine.npz").write_text("the user's")
    again = Journal(tmp_path / "journal", "a" * 64)
    assert "x" in again
    again.remove()
    assert [file.name for file in (tmp_path / "journal").rglob("*.*")] == ["notes.txt", "mine.npz"]


def test_index_adds_lists_and_removes(toy_run, datasets, tmp_path, fastreid_here):
    people, site = datasets / "RenderedStation", tmp_path / "site"

    def index(*words):
        done = fastreid_here("index", "--gallery", site, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    test = sorted((people / "bounding_box_test").glob("*.jpg"))
    first = index("--model", toy_run, people / "bounding_box_test")
    assert f"{len(test)} images added, 0 updated, 0 unchanged; {len(test)} in total" in first
    queries = sorted((people / "query").glob("*.jpg"))
    said = index(people / "query", test[0])
    assert f"{len(queries)} images added, 0 updated, 1 unchanged; " in said
    made = Gallery.load(site)
    assert [record.path for record in made.records] == list(map(str, test + queries))
    assert np.abs(made.features() - FeatureExtractor(toy_run)(test + queries)).max() <= 1e-5  # other batches
    assert f"{len(queries)} images removed; {len(test)} in total" in index("--remove", "*/query/*")
    listed = index("--list")
    assert str(test[0]) in listed and str(queries[0]) not in listed and f"{len(test)} images" in listed
    assert [record.path for record in Gallery.load(site).records] == list(map(str, test))


def test_records_of_known_images_are_updated(tmp_path):
    """Each image has one row with its latest record, even if it was moved, overwritten or given a camera."""
    kept = filled(images=6)
    of = random_images(6)

    def given(*images):
        """An extraction of (row in ``of``, record) pairs."""
        rows = [place for place, _ in images]
        return Extraction([record for _, record in images], [of.digests[row] for row in rows], of.features[rows])

    changes = kept.update(
        given(
            (0, of.records[0]),
            (1, Record("/moved/1.jpg", identity="9")),
            (2, Record(of.records[2].path, " 07.0 ")),
            (3, Record("/copy/3.jpg", "8")),  # its old path is given as well
            (3, Record(of.records[3].path)),
        )
    )
    assert changes == (0, 3, 1, 0, 1) and len(kept) == 6
    assert kept.records[1] == of.records[1]._replace(path="/moved/1.jpg", identity="9")
    assert kept.records[2] == of.records[2]._replace(camera="7")
    assert kept.records[3] == of.records[3]._replace(camera="8")
    other = random_images(2, seed=1)
    overwritten = other._replace(
        records=[Record(of.records[0].path, "5"), Record("")], known=[(Record(of.records[4].path), of.digests[5])]
    )
    assert kept.update(overwritten) == (2, 1, 0, 2, 0)  # the files of images 0 and 4 have other contents now
    assert kept.digests == [*of.digests[1:4], of.digests[5], *other.digests]
    assert [record.path for record in kept.records[3:]] == [of.records[4].path, of.records[0].path, ""]
    assert np.array_equal(kept.features(), np.concatenate((of.features[[1, 2, 3, 5]], other.features)))


def test_features_are_scaled_to_length_1_even_for_images_that_change_camera():
    kept, of = filled(images=4), random_images(4)
    kept.update(Extraction([record._replace(camera="9") for record in of.records], of.digests, 3 * of.features))
    assert kept.records[0].camera == "9"
    assert np.allclose(kept.features(), of.features, atol=1e-6)


def test_index_follows_images_that_are_overwritten_moved_or_given_cameras(toy_run, datasets, tmp_path, fastreid_here):
    crops, site = tmp_path / "crops", tmp_path / "site"
    people = sorted((datasets / "RenderedStation" / "query").iterdir())[:4]
    crops.mkdir()
    for name, image in zip("abc", people):
        shutil.copy(image, crops / f"{name}.jpg")

    def index(*words):
        done = fastreid_here("index", "--model", toy_run, "--gallery", site, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "3 images added, 0 updated, 0 unchanged; 3 in total" in index(crops)
    (tmp_path / "t.csv").write_text('path,camera,identity\ncrops/a.jpg,lobby,"Smith, John"\ncrops/b.jpg,02,\n')
    assert "0 images added, 2 updated, 0 unchanged; 3 in total" in index(tmp_path / "t.csv")
    shutil.copy(people[3], crops / "c.jpg")
    shutil.copy(crops / "a.jpg", crops / "z.jpg")
    (crops / "text.jpg").write_text("no picture")
    said = index(crops, "--skip-unreadable")
    assert "1 images added, 0 updated, 2 unchanged, 1 left out, 1 given more than once (the first one counts), " in said
    assert "1 removed because their files have changed; 3 in total" in said
    crops.rename(tmp_path / "moved")
    assert "0 images added, 3 updated, 0 unchanged" in index(tmp_path / "moved", "--skip-unreadable")
    assert {
        Path(record.path).relative_to(tmp_path).as_posix(): record[1:] for record in Gallery.load(site).records
    } == {
        "moved/a.jpg": ("lobby", "", "Smith, John"),
        "moved/b.jpg": ("2", "", ""),
        "moved/c.jpg": ("", "", ""),
    }


def test_unusual_file_names_can_be_listed_searched_and_removed(toy_run, datasets, tmp_path, fastreid_here):
    names = [b"caf\xe9.jpg", b"a[1].jpg", b"new\nline, and comma.jpg", b"plain.jpg"]
    crops, site = tmp_path / "crops", tmp_path / os.fsdecode(b"site\xe9")
    crops.mkdir()
    for name, image in zip(names, sorted((datasets / "RenderedStation" / "query").iterdir())):
        shutil.copy(image, os.path.join(os.fsencode(crops), name))
    assert fastreid_here("index", "--model", toy_run, "--gallery", site, crops).returncode == 0
    done = fastreid_here("index", "--gallery", site, "--list")
    assert done.returncode == 0 and "caf?.jpg" in done.stdout and "4 images; model" in done.stdout
    done = fastreid_here("search", "--gallery", site, crops, "--html", tmp_path / "found.html")
    assert done.returncode == 0 and "caf?.jpg" in done.stdout and (tmp_path / "found.html").is_file()
    done = fastreid_here("search", "--gallery", site, crops, "--json")
    found = [json.loads(line)["query"]["path"] for line in done.stdout.splitlines()]
    assert sorted(map(os.fsencode, map(os.path.basename, found))) == sorted(names)
    refused = one_line(fastreid_here("extract", "--model", toy_run, crops, "--output", tmp_path / "f.parquet"))
    assert (
        "is not UTF-8, which .parquet requires: rename it, or write .npz" in refused
        and not (tmp_path / "f.parquet").exists()
    )
    assert fastreid_here("extract", "--model", toy_run, crops, "--output", tmp_path / "f.npz").returncode == 0
    assert os.fsdecode(names[0]) in map(os.path.basename, np.load(tmp_path / "f.npz")["path"].tolist())
    assert "--remove nothing* matches no path" in one_line(
        fastreid_here("index", "--gallery", site, "--remove", "*plain*", "--remove", "nothing*")
    )
    for pattern, left in ("*caf\udce9*", 3), (crops / "a[1].jpg", 2), ("*line,*", 1):
        assert fastreid_here("index", "--gallery", site, "--remove", pattern).returncode == 0
        assert len(Gallery.load(site)) == left


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_an_approximate_search_finds_as_many_images_as_an_exact_one(metric, monkeypatch):
    """For any excluded camera and any length of the list; nearly all are those that a loop finds."""
    monkeypatch.setattr(gallery, "APPROXIMATE_FROM", 5000)
    images = random_images(6000, metric=metric)
    # Nearly all images near the first query come from its own camera; camera 2 has only six images.
    near = np.argsort(((images.features - images.features[0]) ** 2).sum(axis=1))
    for rank, row in enumerate(near):
        camera = "1" if rank < 400 or rank % 2 else "0"
        images.records[row] = images.records[row]._replace(camera="2" if rank > 5993 else camera)
    made = Gallery(described(metric), approximate=True)
    made.add(images)
    assert made.is_approximate
    queries = images.features[[0, *near[3000:3007]]]
    scores = queries @ images.features.T if metric == "cosine" else -((queries[:, None] - images.features) ** 2).sum(2)
    for camera, top in [("1", 10), ("2", 10), ("", 10), ("", 500), ("", 5999), ("1", 3000)]:
        allowed = np.array([not camera or record.camera != camera for record in images.records])
        right = np.argsort(np.where(allowed, -scores, np.inf))[:, : min(top, allowed.sum())]
        found = [
            [match.row for match in matches] for matches in made.search(queries, top, exclude_cameras=[camera] * 8)
        ]
        assert {len(set(rows)) for rows in found} == {min(top, allowed.sum())}
        assert all(allowed[rows].all() for rows in found)
        assert np.mean([np.isin(*both).mean() for both in zip(right, found)]) >= 0.95, (camera, top)
    exact = made.search(queries, 9, exact=True)
    assert [[match.row for match in matches] for matches in exact] == np.argsort(-scores)[:, :9].tolist()


@pytest.mark.parametrize("value", [np.nan, np.inf, 0])
def test_features_that_cannot_be_compared_are_refused(value):
    searched, features = filled(images=20), random_images(3, seed=1).features
    features[1] = value
    for call in (searched.search, lambda features: searched.add(random_images(3, seed=1)._replace(features=features))):
        with pytest.raises(
            UserError, match="cannot be compared: 1 of 3 are NaN, infinite or all zero; the first is number 1"
        ):
            call(features)
    assert len(searched) == 20
    with pytest.raises(UserError, match=r"of shape \(Q, 24\); got object \(1, 24\)"):
        searched.search(np.full((1, DIMENSIONS), None))
    with pytest.raises(UserError, match="exclude_cameras has 1 entries for 2 queries"):
        searched.search(random_images(2).features, exclude_cameras=["1"])
    twice_as_long = searched.search(2 * random_images(2).features.astype(np.float64), 3)
    for one, other in zip(twice_as_long, searched.search(random_images(2).features, 3)):
        assert [match.row for match in one] == [match.row for match in other]
        assert [match.score for match in one] == pytest.approx([match.score for match in other], abs=1e-6)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_unusual_pictures_are_indexed_and_an_unreadable_one_stops_indexing_without_loss(
    toy_run, datasets, tmp_path, fastreid_here
):
    source = Image.open(sorted((datasets / "RenderedStation" / "query").iterdir())[0])
    turned = Image.Exif()
    turned[0x0112] = 6  # rotate by 90 degrees
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


def test_mistakes_are_one_line_and_change_nothing(toy_run, datasets, tmp_path, fastreid_here):
    filled(model=str(toy_run)).save(tmp_path / "site")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    images = datasets / "RenderedStation" / "query"
    for words, message in [
        (["index", images, "--gallery", tmp_path / "site"], "the gallery was built with model mmmm"),
        (["search", images, "--gallery", tmp_path / "site"], "their features cannot be compared"),
        (["index", images, "--gallery", tmp_path / "new"], "pass --model to create it"),
        (["index", images, "--gallery", tmp_path / "file", "--model", toy_run], "file is a file: name a folder"),
        (["index", "--gallery", tmp_path / "new"], "name images to add, or pass --list or --remove"),
        (["index", tmp_path / "empty", "--gallery", tmp_path / "new", "--model", toy_run], "empty has no images"),
        (["index", "--gallery", tmp_path / "site", "--remove", "nothing*"], "matches no path"),
        (["index", "--gallery", tmp_path / "new", "--remove", "*"], "does not exist"),
    ]:
        assert message in one_line(fastreid_here(*words))
    assert not (tmp_path / "new").exists() and len(Gallery.load(tmp_path / "site")) == 60


def in_a_process(words):
    """Start a command in a forked process, which has everything imported."""

    def call():
        with undisturbed():
            os._exit(cli.main(list(map(str, words))))

    process = multiprocessing.get_context("fork").Process(target=call)
    process.start()
    return process


def test_an_index_killed_at_any_moment_resumes_to_the_same_gallery(toy_run, datasets, tmp_path, monkeypatch):
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
    assert np.abs(ended.features() - new.features()).max() <= 1e-5  # other batches
    assert len(list(site.iterdir())) == len(list(unbroken.iterdir())) == 4  # the gallery's three files and the lock


def test_two_processes_cannot_write_one_gallery(toy_run, tmp_path, fastreid_here):
    filled(model=str(toy_run)).save(tmp_path)
    with locked(tmp_path):
        done = fastreid_here("index", "--gallery", tmp_path, "--remove", "*")
    assert "another process is working in" in one_line(done)


def test_a_gallery_can_be_read_while_another_process_writes_it(tmp_path):
    sizes = {20: filled(images=20), 30: filled(images=30)}
    sizes[20].save(tmp_path)
    context = multiprocessing.get_context("fork")
    stop = context.Event()

    def write():
        while not stop.is_set():
            for made in sizes.values():
                made.save(tmp_path)

    writer = context.Process(target=write)
    writer.start()
    try:
        loaded = []
        while len(loaded) < 200 or {len(made) for made in loaded} != {20, 30}:  # the writer may start late
            loaded.append(Gallery.load(tmp_path))
    finally:
        stop.set()
        writer.join(60)
    for made in loaded:
        assert made.digests == sizes[len(made)].digests
        assert np.array_equal(made.features(), sizes[len(made)].features())


def test_build_accepts_a_folder_like_the_command(toy_run, datasets):
    extractor = FeatureExtractor(toy_run)
    made = Gallery.build(extractor, [str(datasets / "RenderedStation" / "query")])
    (matches,) = made.search(extractor(made.records[3].path), top=1)
    assert matches[0].row == 3 and matches[0].score == pytest.approx(1, abs=1e-5)
    assert json.loads(made.description.to_property())["model"] == extractor.description.model
    assert re.fullmatch(r"[0-9a-f]{64}", made.digests[0])
