"""The readers of the public data sets, on trees in their true layouts: toy trees of pictures, full ones of empty files.

Expected items come from this file's own patterns of file names, or from how the tree was built.
"""

import hashlib
import itertools
import json
import logging
import os
import random
import re
import shutil
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path, PureWindowsPath

import cv2
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from fastreid_gdnorm.data.readers import (
    DGCUHK02,
    DGCUHK03,
    DGCUHKSYSU,
    DGGRID,
    DGMSMT17,
    DGPRID,
    READERS,
    DGDukeMTMC,
    DGiLIDS,
    DGMarket1501,
    DGVIPeR,
    SingleShot,
)
from fastreid_gdnorm.errors import UserError

from . import trees

PARTS = ("train", "query", "gallery")
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # lists files in the order of their creation
MARKET, DETECTED, LABELED = "Market-1501-v15.09.15", {"boxes": "detected"}, {"boxes": "labeled"}


def market_style(folder):
    folders = zip(PARTS, ("bounding_box_train", "query", "bounding_box_test"))
    return {part: rf"{folder}/{name}/(?P<pid>\d+)_c(?P<camera>\d)\w+\.(jpg|png)" for part, name in folders}


def msmt17(train, test, of_train):
    shot = r"/\d{4}/(?P<pid>\d+)_%s\d\d_(?P<camera>\d\d)_\w+\.jpg"  # the toy tree numbers val and gallery from 100
    in_train = {"train": train + shot % of_train, "all": train + shot % "[01]"}
    return {**in_train, "query": test + shot % "0", "gallery": test + shot % "1"}


V1 = msmt17("MSMT17_V1/train", "MSMT17_V1/test", of_train="[01]")
V2 = msmt17("MSMT17_V2/mask_train_v2", "MSMT17_V2/mask_test_v2", of_train="0")
C2 = "{}/P(?P<pair>\\d)/cam(?P<camera>\\d)/(?P<pid>\\d+)_\\d+\\.png"
V = r"VIPeR/cam_(?P<camera>.)/(?P<pid>\d+)_\d+\.bmp"
P = r"prid_2011/single_shot/cam_(?P<camera>.)/person_(?P<pid>\d+)\.png"

# reader, its arguments, the tree, images in train, query, gallery and all, and a pattern for the paths of each part. In
# CUHK03 names do not show the part, and in a target the split decides it.
SETS = {
    "Market-1501": (DGMarket1501, {}, trees.market1501, (24, 8, 15, 44), market_style(MARKET)),
    "DukeMTMC": (DGDukeMTMC, {}, trees.dukemtmc, (24, 8, 12, 44), market_style("DukeMTMC-reID")),
    "CUHK02": (DGCUHK02, {}, trees.cuhk02, (40, 0, 0, 40), {"train": C2.format("cuhk02/Dataset")}),
    "CUHK02 flat": (DGCUHK02, {}, partial(trees.cuhk02, nested=False), (40, 0, 0, 40), {"train": C2.format("cuhk02")}),
    "CUHK03": (DGCUHK03, DETECTED, partial(trees.cuhk03_extracted, **DETECTED), (24, 8, 12, 44), None),
    "CUHK03 labeled": (DGCUHK03, LABELED, partial(trees.cuhk03_extracted, **LABELED), (24, 8, 12, 44), None),
    "CUHK03-NP": (DGCUHK03, DETECTED, trees.cuhk03_np, (24, 8, 12, 44), market_style("CUHK03-NP/detected")),
    "MSMT17 V1": (DGMSMT17, {"version": "V1", "val": True}, trees.msmt17, (30, 8, 12, 50), V1),
    "MSMT17 V2": (DGMSMT17, {"version": "V2", "val": False}, partial(trees.msmt17, version="V2"), (24, 8, 12, 50), V2),
    "VIPeR": (DGVIPeR, {}, partial(trees.viper, ids=7), (6, 4, 4, 14), V),
    "PRID": (DGPRID, {}, partial(trees.prid, only_a=3, only_b=5), (200, 100, 105, 405), P),
}
for naming, pattern in (
    ("p_s", r"cropped_images/p(?P<pid>\d+)_s\d+_\d\.jpg"),
    ("hard", r"cropped_image/p(?P<pid>\d+)_n\d\d_s\d+_hard[01]\.png"),
    ("market", r"(query|bounding_box_(train|test))/(?P<pid>\d+)_c\d_\d+\.jpg"),
):
    patterns = {"train": f"CUHK-SYSU/{pattern}"}
    SETS[f"CUHK-SYSU {naming}"] = DGCUHKSYSU, {}, partial(trees.cuhk_sysu, naming=naming), (18, 0, 0, 18), patterns
for folder in "GRID", "underground_reid":
    pattern = folder + r"/(probe|gallery)/(?P<pid>\d+)_(?P<camera>\d)_\w+\.jpeg"
    SETS[folder] = DGGRID, {}, partial(trees.grid, ids=6, distractors=5, folder=folder), (6, 3, 8, 12), pattern
for layout, folder in ("images", "QMUL-iLIDS/images"), ("persons", "i-LIDS_Pedestrian/Persons"):
    pattern = folder + r"/(?P<pid>\d{4})(?P<camera>\d{3})\.jpg"
    SETS[folder] = DGiLIDS, {}, partial(trees.ilids, ids=5, images=16, layout=layout), (4, 3, 3, 10), pattern


@pytest.fixture(scope="module")
def people(datasets):
    return itertools.cycle([cv2.imread(str(path)) for path in sorted(datasets.rglob("*.jpg"))[:9]])


@pytest.fixture(scope="module")
def put(people):
    """A function that writes the next rendered person to a path, in the format of its suffix."""
    return lambda path: cv2.imwrite(str(path), next(people))


@pytest.fixture(scope="module")
def full():
    """Every data set at its published size, of empty files."""
    labeled = partial(trees.cuhk03_extracted, boxes="labeled")
    sources = (trees.market1501, trees.dukemtmc, trees.cuhk02, trees.cuhk03_extracted, labeled, trees.cuhk_sysu)
    with tempfile.TemporaryDirectory(dir=MEMORY) as root:
        for build in (*sources, trees.msmt17):
            build(Path(root), os.mknod, full=True)
        for build in trees.viper, trees.prid, trees.grid, trees.ilids:
            build(Path(root), os.mknod)
        yield Path(root)


def relative(root, items):
    return [(Path(path).relative_to(root).as_posix(), pid, camera) for path, pid, camera in items]


def read(reader, root, **kwargs):
    """The items of a reader as {part: items}; "all" is training with combineall."""
    data, whole = reader(str(root), **kwargs), reader(str(root), combineall=True, **kwargs)
    parts = {"train": data.train, "query": data.query, "gallery": data.gallery, "all": whole.train}
    return {part: relative(root, items) for part, items in parts.items()}


def litter(root):
    """Put the files into every folder that operating systems and people leave beside images."""
    for folder, _, names in list(os.walk(root)):
        images = sorted(name for name in names if name.endswith(("jpg", "jpeg", "png", "bmp")))
        for name in ("Thumbs.db", ".DS_Store", *(form % images[0] for form in ("._%s", "%s.part", "old %s") if images)):
            (Path(folder) / name).write_text("no picture")


def named(root, pattern):
    """The items according to the names of files."""
    matches = [re.fullmatch(pattern, path.relative_to(root).as_posix()) for path in root.rglob("*")]
    return [(match[0], *item_of(**match.groupdict())) for match in matches if match]


def item_of(pid, camera="1", pair=None):
    """Identity and camera. Cameras count from 0, except in CUHK02, and in i-LIDS, where they have three digits."""
    pid, camera = int(pid), "ab".index(camera) if camera in "ab" else int(camera) - (len(camera) < 3)
    return (f"{pair}_{pid}", f"{pair}_{camera + 1}") if pair else (pid, camera)


def check(reader, root, found, expected):
    """Check that items are as expected, named as fast-reid does in training, and that their pictures can be read."""

    def to_train(items, infix=""):
        prefix = f"{reader.dataset_name}_{infix}"
        return [(path, f"{prefix}{pid}", f"{prefix}{camera}") for path, pid, camera in items]

    train, query, gallery = (expected.get(part, []) for part in PARTS)
    zero_is_nobody = reader not in (DGMSMT17, DGVIPeR)
    known = [item for item in query + gallery if not (zero_is_nobody and item[1] == 0)]
    assert sorted(found["train"]) == sorted(to_train(train))
    assert (sorted(found["query"]), sorted(found["gallery"])) == (sorted(query), sorted(gallery))
    assert sorted(found["all"]) == sorted(to_train(expected.get("all", train)) + to_train(known, "test_"))
    if reader is not DGMSMT17:  # test identities are other people, numbered from 0 again
        assert not {pid for _, pid, _ in train} & {pid for _, pid, _ in query + gallery}
    for items in found.values():
        assert all(cv2.imread(str(root / path)) is not None for path, _, _ in items[:3])


def cuhk03_parts(boxes):
    parts = defaultdict(list)
    for part, label, *shot in trees.cuhk03_shots(False, boxes):
        parts[part].append((f"cuhk03/images_{boxes}/{trees.cuhk03_name(*shot)}", label, int(shot[2] > 5)))
    return parts


def target_parts(images, found):
    """The parts of a target with any split; training has the identities that are not tested."""
    parts = {part: [item for item in images if item in found[part]] for part in ("query", "gallery")}
    tested = {pid for _, pid, _ in parts["query"] + parts["gallery"]}
    return {**parts, "train": [item for item in images if item[1] not in tested]}


@pytest.mark.parametrize("reader, kwargs, build, counts, patterns", SETS.values(), ids=SETS)
def test_parts_are_as_the_file_names_say(reader, kwargs, build, counts, patterns, put, tmp_path):
    build(tmp_path, put)
    litter(tmp_path)
    found = read(reader, tmp_path, **kwargs)
    if patterns is None:
        told = cuhk03_parts(**kwargs)
    elif isinstance(patterns, str):
        told = target_parts(named(tmp_path, patterns), found)
    else:
        told = {part: named(tmp_path, pattern) for part, pattern in patterns.items()}
    check(reader, tmp_path, found, told)
    assert tuple(map(len, found.values())) == counts


def test_every_reader_is_tested():
    assert {reader for reader, *_ in SETS.values()} == set(READERS)


@pytest.mark.parametrize("name", SETS)
def test_images_with_other_suffixes_are_read_too(name, tmp_path):
    reader, kwargs, build, _, _ = SETS[name]
    build(tmp_path, Path.touch)
    before = read(reader, tmp_path, **kwargs)
    suffixes = itertools.cycle([".JPG", ".Jpeg", ".PNG", ".tif"])
    for path in sorted(path for path in tmp_path.rglob("*") if path.suffix in (".jpg", ".jpeg", ".png", ".bmp"))[::2]:
        path.rename(path.with_suffix(next(suffixes)))
    after = read(reader, tmp_path, **kwargs)
    for part, items in before.items():
        assert without_suffixes(after[part]) == without_suffixes(items)
    assert {Path(path).suffix for path, _, _ in after["all"]} > {".JPG", ".tif"}


def without_suffixes(items):
    return [(os.path.splitext(path)[0], pid, camera) for path, pid, camera in items]


def test_files_left_out_are_counted_but_junk_is_not(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)
    caplog.set_level(logging.WARNING, "fastreid")  # another test's trainer may have lowered it
    trees.market1501(tmp_path, Path.touch)
    before = read(DGMarket1501, tmp_path)
    assert not caplog.messages
    folder = tmp_path / MARKET / "query"
    first = before["query"][0][0].rpartition("/")[2]
    (folder / f"{first[:4]}").mkdir()
    (folder / ".ipynb_checkpoints").mkdir()
    for name in first.replace("jpg", "png"), f"old {first}", "0001_c0ffee.jpg", "notes.txt", f"._{first}", "Thumbs.db":
        (folder / name).touch()
    assert read(DGMarket1501, tmp_path) == before
    (said,) = set(caplog.messages)
    assert said.startswith(f"{folder}: left out 5 of 13: ")
    for words in (
        "1 folders (",
        "1 that are copies",
        "2 with names that do not match (the first is 0001_c0ffee",
        "suffix .txt",
    ):
        assert words in said


@pytest.mark.parametrize("boxes", ["detected", "labeled"])
def test_cuhk03_is_extracted_from_its_mat_once(boxes, people, tmp_path):
    trees.cuhk03_mat(tmp_path, lambda: next(people))
    first = read(DGCUHK03, tmp_path, boxes=boxes)
    check(DGCUHK03, tmp_path, first, cuhk03_parts(boxes))
    (tmp_path / "cuhk03/cuhk03_release/cuhk-03.mat").write_bytes(b"")  # nothing can be extracted from it
    assert read(DGCUHK03, tmp_path, boxes=boxes) == first
    shutil.rmtree(tmp_path / "cuhk03/cuhk03_release")
    assert read(DGCUHK03, tmp_path, boxes=boxes) == first


@pytest.mark.parametrize("reader, kwargs, build", [row[:3] for row in SETS.values()], ids=SETS)
def test_the_order_of_files_and_the_path_of_the_root_do_not_matter(reader, kwargs, build, tmp_path):
    build(tmp_path, Path.touch)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    random.Random(0).shuffle(files)
    with tempfile.TemporaryDirectory(dir=MEMORY) as other:
        root = Path(other) / "x1_c2s3_0 p7_s4" / "-1_c1"
        for file in files:
            copy = root / file.relative_to(tmp_path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
        assert read(reader, root, **kwargs) == read(reader, tmp_path, **kwargs)
        if issubclass(reader, SingleShot):
            assert reader(str(root)).splits == reader(str(tmp_path)).splits


# the folder, its query and gallery folders, their image counts, names in every gallery, the SHA-256 of the splits
SPLITS = {
    DGVIPeR: ("VIPeR", "cam_a", "cam_b", (316, 316), "none", "48fa6933beaa77f6"),
    DGPRID: ("prid_2011/single_shot", "cam_a", "cam_b", (100, 649), "person_0(?!200)[2-7].*", "c417c54d0331ad97"),
    DGGRID: ("underground_reid", "probe", "gallery", (125, 900), "0000_.*", None),
    DGiLIDS: ("QMUL-iLIDS", "images", "images", (60, 60), "none", "8e795ea0aab65366"),
}


@pytest.mark.parametrize("reader", SPLITS)
def test_ten_splits_are_the_same_everywhere_and_contain_every_query_once(reader, full):
    folder, of_queries, of_gallery, counts, strangers, digest = SPLITS[reader]
    data = reader(str(full))
    images = relative(full, data.images)
    splits = [[[images[place] for place in places] for places in split] for split in data.splits]
    names = [name for name in os.listdir(full / folder / of_gallery) if re.fullmatch(strangers, name)]
    always = {f"{folder}/{of_gallery}/{name}" for name in names}
    tested = [{pid for _, pid, _ in query} for query, _ in splits]
    assert len(splits) == len(set(map(frozenset, tested))) == 10
    for (query, gallery), pids in zip(splits, tested):
        assert (len(query), len(gallery)) == counts
        assert {os.path.dirname(path) for path, _, _ in query} == {f"{folder}/{of_queries}"}
        assert {os.path.dirname(path) for path, _, _ in gallery} == {f"{folder}/{of_gallery}"}
        cameras = {pid: camera for _, pid, camera in query}
        known = [(pid, camera) for path, pid, camera in gallery if path not in always]
        assert sorted(cameras) == sorted(pid for pid, _ in known)  # each once, in the queries and in the gallery
        assert not [pid for pid, camera in known if camera == cameras[pid]]
        assert always <= {path for path, _, _ in gallery}
        assert not pids & {pid for path, pid, _ in gallery if path in always}
    if reader is DGGRID:
        partitions = loadmat(full / folder / "features_and_partitions.mat")["testIdxAll"].flatten()
        assert tested == [set(partition["personIdx"].item().flatten().tolist()) for partition in partitions]
    else:
        paths = [[[path for path, _, _ in part] for part in split] for split in splits]
        assert hashlib.sha256(json.dumps(paths).encode()).hexdigest()[:16] == digest


PUBLISHED = [
    (DGMarket1501, {}, {"train": (751, 12936), "query": (750, 3368), "gallery": (None, 15913), "all": (1501, 29419)}),
    (DGDukeMTMC, {}, {"train": (702, 16522), "query": (702, 2228), "gallery": (None, 17661), "all": (1812, 36411)}),
    (DGCUHK02, {}, {"train": (1816, 7264)}),
    (DGCUHK03, DETECTED, {"train": (767, 7365), "query": (700, 1400), "gallery": (700, 5332), "all": (1467, 14097)}),
    (DGCUHK03, LABELED, {"all": (1467, 14096)}),
    (DGCUHKSYSU, {}, {"train": (11934, 34574)}),
    (DGMSMT17, {}, {"train": (1041, 32621), "query": (None, 11659), "gallery": (None, 82161), "all": (4101, 126441)}),
    (DGMSMT17, {"val": False}, {"train": (1041, 30248), "all": (4101, 126441)}),
]


@pytest.mark.long
@pytest.mark.parametrize("reader, kwargs, facts", PUBLISHED)
def test_at_full_size_a_source_has_its_published_counts(reader, kwargs, facts, full):
    found, published = read(reader, full, **kwargs), reader(str(full), **kwargs).published
    assert set(facts) <= set(published)
    for part, (ids, images, cameras) in published.items():
        expected_ids, expected_images = facts.get(part, (None, images))
        assert (expected_ids or ids, expected_images) == (ids, images)
        pids, seen_by = ({item[field] for item in found[part]} for field in (1, 2))
        assert (len(pids), len(found[part]), len(seen_by) if cameras else None) == (ids, images, cameras)


def test_protocol_1_trains_on_all_images_of_its_five_sources(full):
    sources = DGMarket1501, DGDukeMTMC, DGCUHK02, DGCUHK03, DGCUHKSYSU
    items = [item for reader in sources for item in reader(str(full), combineall=True).train]
    assert len({pid for _, pid, _ in items}) == 18530
    assert len({path for path, _, _ in items}) == len(items) == 121765


@pytest.mark.parametrize(
    "name, form, words",
    [
        ("VIPeR", lambda path: [f"/elsewhere/reid/{path}", 1, 0], "DGVIPeR: 2 splits from {file}"),
        ("VIPeR", lambda path: [str(PureWindowsPath("C:/reid", path)), 1, 0], "DGVIPeR: 2 splits from {file}"),
        ("QMUL-iLIDS/images", os.path.basename, "DGiLIDS: 2 splits from {file}"),
        ("GRID", lambda path: [f"/elsewhere/reid/{path}", 1, 0], "DGGRID: 2 splits from {file}"),
        ("GRID", None, "DGGRID: the 10 official partitions, {partitions}"),
        ("VIPeR", None, "DGVIPeR: 10 splits drawn"),
    ],
)
def test_a_splits_json_is_used_and_the_log_says_so(name, form, words, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)  # fast-reid's set-up turns it off
    caplog.set_level(logging.INFO, "fastreid.gdnorm.splits")
    reader, _, build, _, pattern = SETS[name]
    build(tmp_path, Path.touch)
    (folder,) = tmp_path.iterdir()
    file, partitions = folder / "splits.json", folder / "features_and_partitions.mat"
    images = sorted(path for path, _, _ in named(tmp_path, pattern))
    theirs = [[images[:2], images[-3:]], [images[-1:], images[1:3]]]
    if form:
        partitions.unlink(missing_ok=True)
        parts = [{"train": [], "query": [*map(form, one)], "gallery": [*map(form, two)]} for one, two in theirs]
        file.write_text(json.dumps(parts))
    elif name == "GRID":
        file.write_text("ignored, because official partitions take precedence")
    data = reader(str(tmp_path))
    assert words.format(file=file, partitions=partitions) in caplog.text
    if form:
        paths = [path for path, _, _ in relative(tmp_path, data.images)]
        assert [[[paths[place] for place in places] for places in split] for split in data.splits] == theirs


def test_torchreids_splits_are_found_above_the_folder(tmp_path, caplog, monkeypatch):
    """They are in viper/, beside VIPeR/. In the folder of all data sets, it counts only for its own data set."""
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)
    trees.viper(tmp_path / "viper", Path.touch, ids=7)
    trees.ilids(tmp_path, Path.touch, ids=5, images=16)
    query, gallery = (f"/elsewhere/viper/VIPeR/cam_{view}/000_{angle}.bmp" for view, angle in (("a", 0), ("b", 90)))
    splits = [{"train": [], "query": [[query, 0, 0]], "gallery": [[gallery, 0, 1]]}]
    for root in tmp_path / "viper", tmp_path:  # torchreid's folder of VIPeR, and the one above
        (root / "splits.json").write_text(json.dumps(splits))
        data = DGVIPeR(str(root))
        assert data.origin == f"1 splits from {tmp_path}/viper/splits.json"
        assert [Path(path).name for path, _, _ in data.query + data.gallery] == ["000_0.bmp", "000_90.bmp"]
    assert DGiLIDS(str(tmp_path)).origin == "10 splits drawn from its sorted identities"
    assert f"DGiLIDS: ignored splits in the folder of all data sets: {tmp_path}/splits.json names" in caplog.text


def without(path):
    return lambda root: (root / path).unlink()


def text(path, text):
    return lambda root: trees.write_text(root / path, text)


def splits_json(splits):
    return text("VIPeR/splits.json", json.dumps(splits))


def too_deep(root, put):
    trees.market1501(root / MARKET, put)


def pairs_too_deep(root, put):
    trees.cuhk02(root / "cuhk02", put, nested=False)


def archive(root, put):
    trees.cuhk03_mat(root, lambda: np.zeros((8, 4, 3), np.uint8))


MAT = "cuhk03/cuhk03_release/cuhk-03.mat"
CONFIG, PARTITIONS = "cuhk03/cuhk03_new_protocol_config_detected.mat", "GRID/features_and_partitions.mat"
A, C3, MT, VIPER, GRID = "cam_a/000_0.bmp", trees.cuhk03_extracted, trees.msmt17, SETS["VIPeR"][2], SETS["GRID"][2]
BARE = json.dumps([{"query": ["person_0001.png"], "gallery": ["person_0001.png"]}])  # in both cameras
NO_GALLERY, EMPTY, LOST = {"query": [A]}, {"query": [A], "gallery": []}, {"query": ["a/b.bmp"], "gallery": []}

# reader, its arguments, the tree, the mistake (which may return another root), and part of the message
MISTAKES = {
    "missing": (DGMarket1501, {}, None, None, f"no folder {MARKET} or market1501/{MARKET}; .* FASTREID_DATASETS names"),
    "itself": (
        DGMarket1501,
        {},
        too_deep,
        lambda root: root / MARKET / MARKET,
        "itself: use the folder above it",
    ),
    "too deep": (DGMarket1501, {}, too_deep, None, f"{MARKET} has no folder .*{MARKET}/{MARKET}: move it up"),
    "deep in the root": (DGVIPeR, {}, VIPER, lambda root: root.parent, "there is one in .*: move it up"),
    "empty": (DGVIPeR, {}, None, lambda root: (root / "VIPeR/cam_a").mkdir(parents=True), "cam_a has no image whose"),
    "no list": (DGMSMT17, {}, MT, without("MSMT17_V1/list_val.txt"), "list_val.txt does not exist"),
    "odd list": (DGMSMT17, {}, MT, text("MSMT17_V1/list_val.txt", "a.jpg\n"), "list_val.txt must have an image and"),
    "no images": (DGMSMT17, {}, MT, lambda root: shutil.rmtree(root / "MSMT17_V1/train"), "V1 has no folder train"),
    "pairs too deep": (DGCUHK02, {}, pairs_too_deep, None, "cuhk02 has no folder P1 .*cuhk02/cuhk02: move it up"),
    "V1 for V2": (DGMSMT17, {"version": "V2"}, MT, None, "has version V1, .* set it to V1, or unpack MSMT17_V2"),
    "V3": (DGMSMT17, {"version": "V3"}, MT, None, "DATASETS.MSMT17.VERSION must be V1 or V2; got 'V3'"),
    "boxes": (DGCUHK03, {"boxes": "drawn"}, C3, None, "BOXES must be detected or labeled; got 'drawn'"),
    "other boxes": (DGCUHK03, LABELED, C3, None, "cuhk03 has no labeled images; it must contain"),
    "no split": (DGCUHK03, {}, C3, without(CONFIG), "config_detected.mat does not exist"),
    "broken split": (DGCUHK03, {}, C3, text(CONFIG, "no mat"), "cannot read .*config_detected.mat"),
    "broken archive": (DGCUHK03, {}, archive, text(MAT, "no mat"), "cannot extract .*cuhk-03.mat"),
    "lost": (DGCUHK03, {}, C3, without("cuhk03/images_detected/1_001_1_01.png"), "lacks 1 .* 1_001_1_01.png"),
    "no partitions": (DGGRID, {}, GRID, without(PARTITIONS), "neither .*partitions.mat, .* nor splits.json"),
    "broken partitions": (DGGRID, {}, GRID, text(PARTITIONS, "no mat"), "cannot read .*partitions.mat"),
    "names alone": (DGPRID, {}, SETS["PRID"][2], text("prid_2011/splits.json", BARE), "person_0001.png does not exist"),
    "not there": (DGVIPeR, {}, VIPER, splits_json([LOST]), "a/b.bmp does not exist or is in two folders: repair"),
    "no JSON": (DGVIPeR, {}, VIPER, text("VIPeR/splits.json", "a\n{"), "splits.json is not a list of splits"),
    "no gallery": (DGVIPeR, {}, VIPER, splits_json([NO_GALLERY]), "splits.json is not a list of splits .*gallery"),
    "empty split": (DGVIPeR, {}, VIPER, splits_json([EMPTY]), "splits.json has an empty split"),
    "other name": (
        DGMarket1501,
        {},
        trees.market1501,
        lambda root: (root / MARKET).rename(root / "market1501") and None,
        f"there is market1501, which contains bounding_box_train: rename it to {MARKET}",
    ),
    "other case": (
        DGMarket1501,
        {},
        trees.market1501,
        lambda root: (root / MARKET).rename(root / MARKET.lower()) and None,
        f"there is {MARKET.lower()}: rename it",
    ),
    "part in other case": (
        DGMarket1501,
        {},
        trees.market1501,
        lambda root: (root / MARKET / "query").rename(root / MARKET / "Query") and None,
        f"{MARKET} has no folder query .there is Query: rename it",
    ),
    "V1 without a version": (
        DGMSMT17,
        {"version": "V2"},
        MT,
        lambda root: (root / "MSMT17_V1").rename(root / "MSMT17") and None,
        "there is MSMT17, but without mask_train_v2",
    ),
    "packed": (DGMSMT17, {}, None, lambda root: (root / "MSMT17_V1.zip").touch(), "there is MSMT17_V1.zip: unpack it"),
    "other set": (DGiLIDS, {}, None, lambda root: (root / "iLIDS-VID").mkdir(), "but without images or Persons"),
    "parts in the root": (
        DGMarket1501,
        {},
        trees.market1501,
        lambda root: (root / MARKET).rename(root / "reid"),
        f"it contains bounding_box_train itself: move that into a folder {MARKET}",
    ),
    "no root": (
        DGMarket1501,
        {},
        None,
        lambda root: root / "nowhere",
        "nowhere is not a folder; set FASTREID_DATASETS",
    ),
    "other mat": (DGGRID, {}, GRID, lambda root: savemat(root / PARTITIONS, {"a": 1}), "has no variable 'trainIdxAll'"),
    "list in Latin-1": (
        DGMSMT17,
        {},
        MT,
        lambda root: (root / "MSMT17_V1/list_val.txt").write_bytes(b"caf\xe9.jpg\n"),
        "must have an image and",
    ),
    "no splits": (DGVIPeR, {}, VIPER, splits_json([]), "splits.json has an empty split"),
}


@pytest.mark.parametrize("reader, kwargs, build, mistake, words", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_clear_line(reader, kwargs, build, mistake, words, tmp_path, monkeypatch):
    monkeypatch.delenv("FASTREID_DATASETS", raising=False)
    root = tmp_path / "sets"
    root.mkdir()
    if build:
        build(root, Path.touch)
    moved = mistake and mistake(root)
    with pytest.raises(UserError, match=words) as error:
        read(reader, moved if isinstance(moved, Path) else root, **kwargs)
    assert "\n" not in str(error.value)
