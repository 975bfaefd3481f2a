"""On disk, a gallery is complete, or it is refused in one line."""

import json
import multiprocessing
import os
from pathlib import Path

import faiss
import numpy as np
import pytest

from fastreid_gdnorm import Gallery
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.inference.records import Record
from fastreid_gdnorm.inference.saved_files import SavedFile

from ..runs.toy import one_line
from .galleries import DIMENSIONS, filled


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
        "features-1-0.npy",  # unchanged
        "gallery.json",
        "images-2.csv",
    ]


def cut_short(file):
    file.write_bytes(file.read_bytes()[:-20])


def one_bit_flipped(file):
    contents = bytearray(file.read_bytes())
    contents[len(contents) // 2] ^= 1
    file.write_bytes(contents)


DAMAGE = {
    "features cut short": ("features-1-0.npy", cut_short, "features-1-0.npy is missing or has changed"),
    "features changed": ("features-1-0.npy", one_bit_flipped, "features-1-0.npy is missing or has changed"),
    "features missing": ("features-1-0.npy", Path.unlink, "features-1-0.npy is missing or has changed"),
    "table changed": ("images-1.csv", one_bit_flipped, "images-1.csv is missing or has changed"),
    "contents cut short": ("gallery.json", cut_short, "gallery.json cannot be read"),
    "contents of another kind": ("gallery.json", lambda file: file.write_text("[]"), "gallery.json cannot be read"),
    "contents without files": ("gallery.json", lambda file: file.write_text('{"version": 3}'), "cannot be read"),
    "later version": (
        "gallery.json",
        lambda file: file.write_text(file.read_text().replace('"version": 3', '"version": 4')),
        "has format version 4",
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
        contents["files"] = [SavedFile.of(file.parent / name) for name, *_ in contents["files"]]
        file.write_text(json.dumps(contents))

    return spoil


def with_features(features):
    return lambda folder, _: np.save(folder / "features-1-0.npy", features)


def with_compressed(index):
    def change(folder, contents):
        faiss.write_index(index, str(folder / "compressed-1.faiss"))
        contents["files"].append(["compressed-1.faiss", "", 0, 0])

    return change


def with_table(change):
    return lambda folder, _: (folder / "images-1.csv").write_text(change((folder / "images-1.csv").read_text()))


def of_a_newer_faiss(folder, contents):
    with_compressed(faiss.IndexPQ(DIMENSIONS, DIMENSIONS, 4))(folder, contents)
    (folder / "compressed-1.faiss").write_bytes(b"IxZZ" + (folder / "compressed-1.faiss").read_bytes()[4:])


TAMPERED = {
    "fewer features": with_features(np.ones((59, DIMENSIONS), np.float32)),
    "other length": with_features(np.ones((60, DIMENSIONS + 1), np.float32)),
    "other numbers": with_features(np.ones((60, DIMENSIONS))),
    "one dimension": with_features(np.ones(60, np.float32)),
    "pickled": with_features(np.full((60, DIMENSIONS), None)),
    "no features": lambda folder, _: (folder / "features-1-0.npy").write_bytes(b""),
    "fewer compressed features": with_compressed(faiss.IndexPQ(DIMENSIONS, DIMENSIONS, 4)),
    "another index": with_compressed(faiss.IndexFlatIP(DIMENSIONS)),
    "index of a newer faiss": of_a_newer_faiss,
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
    "files of others": lambda folder, contents: contents.update(files=[["../features-1-0.npy"], ["images-1.csv"]]),
    "a number for a path": lambda _, contents: contents.update(path=1),
}


@pytest.mark.parametrize("change", TAMPERED)
def test_invalid_contents_with_valid_digests_are_refused_in_one_line(change, tmp_path, fastreid_here):
    site = tmp_path / "site"
    filled().save(site)
    (tmp_path / "features-1-0.npy").write_bytes(b"not the gallery's")
    tampered(TAMPERED[change])(site / "gallery.json")
    said = one_line(fastreid_here("index", "--gallery", site, "--list"))
    assert "is damaged" in said and ("faiss-cpu" in said) == change.startswith("index of")


def test_saving_removes_only_the_gallerys_own_files(tmp_path):
    """The user's files stay unchanged whatever their names, and no old file of the gallery stays, even after a kill."""
    others = [
        "images-2024.csv",
        "features-old.npy",
        "images-.csv",
        "features-2-0.npy",
        "images-3.csv.part",
        "compressed-x-1.faiss",
    ]
    for name in others:
        (tmp_path / name).write_text(name)
    for images in 10, 20, 30:
        filled(images=images).save(tmp_path)
    with pytest.raises(ZeroDivisionError):
        killed_while_writing(tmp_path)
    assert len(Gallery.load(tmp_path)) == 30
    filled(images=40).save(tmp_path)
    own = [name for name, *_ in json.loads((tmp_path / "gallery.json").read_text())["files"]]
    assert len(own) == 2 and {file.name for file in tmp_path.iterdir()} == {*others, "gallery.json", *own}
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
