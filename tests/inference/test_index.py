"""``fastreid index`` and ``fastreid search`` on real image files."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from fastreid_gdnorm import FeatureExtractor, Gallery, cli
from fastreid_gdnorm.disk import locked
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.inference import extraction, gallery_files, indexing
from fastreid_gdnorm.inference.journal import Journal
from fastreid_gdnorm.inference.records import Record
from fastreid_gdnorm.site_cameras import SiteCameras

from ..conftest import undisturbed
from ..runs.toy import one_line
from .galleries import DIMENSIONS, described, filled


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
        tqdm.set_lock(threading.RLock())  # processes share tqdm's own lock, which a killed one would never release
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


class FakeExtractor:
    """Features that are a function of a file's text; the text "bad" is unreadable."""

    model, path, offsets, cameras = "model", "", None, SiteCameras(())
    description = described()

    def stream(self, images):
        for path, _ in images:
            text = Path(path).read_text()
            bad = UserError(f"{path} is bad")
            yield bad if text == "bad" else np.random.default_rng(list(text.encode())).normal(size=DIMENSIONS)


def test_images_in_several_batches_end_as_in_one(tmp_path, monkeypatch, capsys):
    """Files that exchange their names keep what is known of them, and a batch of unreadable files stops nothing."""

    def indexed(folder, texts, **fields):
        files = [tmp_path / f"{number}.jpg" for number in range(len(texts))]
        for file, text in zip(files, texts):
            file.write_text(text)
        records = [Record(str(file), *(f"{name}{file.stem}" for name in fields)) for file in files]
        made = Gallery.load(folder) if gallery_files.is_gallery(folder) else Gallery(described())
        return indexing.index_images(made, folder, FakeExtractor(), records, skip_unreadable=True)

    steps = [
        (["bad", "bad", "bad"] + [f"text {number}" for number in range(8)] + ["bad"], {"camera": 1, "time": 1}),
        (["text 7", "bad", "bad"] + [f"text {number}" for number in range(7)], {}),
        (["text 3", "text 3", "new", "text 1", "text 1", "newer"], {}),
    ]
    at_once = [indexed(tmp_path / "at_once", texts, **fields) for texts, fields in steps]
    monkeypatch.setattr(indexing, "BATCH_BYTES", 3 * 4 * DIMENSIONS)
    assert [indexed(tmp_path / "in_parts", texts, **fields) for texts, fields in steps] == at_once
    one, other = Gallery.load(tmp_path / "at_once"), Gallery.load(tmp_path / "in_parts")
    assert (one.records, one.digests) == (other.records, other.digests) and len(one) == 7
    assert np.array_equal(one.features(), other.features())
    assert [record.camera for record in one.records] == ["camera4", "camera6", "camera7", "camera8", "camera9", "", ""]
    assert "in_parts: saved 6 of 12 images" in capsys.readouterr().out


@pytest.mark.long
def test_a_gallery_killed_while_it_is_built_in_parts_goes_on(toy_run, datasets, tmp_path, monkeypatch):
    """At any moment it holds the first images, and in the end it equals one that was built at once."""
    people, site, at_once = datasets / "RenderedStation", tmp_path / "site", tmp_path / "at_once"
    test, query = people / "bounding_box_test", people / "query"
    copy = tmp_path / "copy.jpg"
    shutil.copy(sorted(query.iterdir())[0], copy)

    def words(folder):
        return ["index", "--model", toy_run, test, copy, query, "--gallery", folder]

    assert cli.main(list(map(str, words(at_once)))) == 0
    right = Gallery.load(at_once)
    monkeypatch.setattr(indexing, "BATCH_BYTES", 3 * 4 * right.description.features)

    def saved_images():
        return len(Gallery.load(site)) if gallery_files.is_gallery(site) else 0

    seen = set()
    for _ in range(60):
        process, before = in_a_process(words(site)), saved_images()
        while process.is_alive() and saved_images() == before:
            time.sleep(0.01)
        process.kill()
        process.join(60)
        seen.add(saved_images())
        assert Gallery.load(site).digests == right.digests[: max(seen)]
        if process.exitcode == 0:
            break
    assert len(seen) > 2 and process.exitcode == 0
    ended = Gallery.load(site)
    assert (ended.records, ended.digests) == (right.records, right.digests)
    assert np.abs(ended.features() - right.features()).max() <= 1e-5  # other batches
    assert not (site / "journal").exists() and not (site / "gallery.writing").exists()


def test_indexing_known_images_again_writes_nothing(toy_run, datasets, tmp_path, fastreid_here):
    words = ["index", "--model", toy_run, datasets / "RenderedStation" / "query", "--gallery", tmp_path]
    assert fastreid_here(*words).returncode == 0
    times = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir() if file.name != ".lock"}
    done = fastreid_here(*words)
    assert done.returncode == 0 and "0 images added, 0 updated" in done.stdout
    assert times == {file: file.stat().st_mtime_ns for file in tmp_path.iterdir() if file.name != ".lock"}
    assert fastreid_here(*words, "--approximate").returncode == 0
    assert Gallery.load(tmp_path).approximate


def test_two_processes_cannot_write_one_gallery(toy_run, tmp_path, fastreid_here):
    filled(model=str(toy_run)).save(tmp_path)
    with locked(tmp_path):
        done = fastreid_here("index", "--gallery", tmp_path, "--remove", "*")
    assert "another process is working in" in one_line(done)
