"""The readers of the public data sets, on trees in their true layouts: toy ones of pictures, full ones of empty files.

What is expected is read off the file names by patterns of this file's own, or known from building the tree.
"""

from functools import partial

from fastreid_gdnorm.data.readers import (
    DGCUHK02,
    DGCUHK03,
    DGCUHKSYSU,
    DGGRID,
    DGMSMT17,
    DGPRID,
    DGDukeMTMC,
    DGiLIDS,
    DGMarket1501,
    DGVIPeR,
)

from . import trees

PARTS = ("train", "query", "gallery")


def market_style(folder, camera=r"_c(?P<camera>\d)"):
    folders = zip(PARTS, ("bounding_box_train", "query", "bounding_box_test"))
    return {part: rf"{folder}/{name}/(?P<pid>\d+){camera}\w+\.(jpg|png)" for part, name in folders}


def msmt17(folder, train, test, val=True):
    shot = r"\d{4}/(?P<pid>\d+)_%s\d\d_(?P<camera>\d\d)_\w+\.jpg"  # the toy tree numbers its val and gallery from 100
    numbers = {"train": f"{train}/{shot % ('[01]' if val else '0')}", "all": f"{train}/{shot % '[01]'}"}
    numbers.update(query=f"{test}/{shot % '0'}", gallery=f"{test}/{shot % '1'}")
    return {part: f"{folder}/{pattern}" for part, pattern in numbers.items()}


CUHK02 = r"/P(?P<pair>\d)/cam(?P<camera>\d)/(?P<pid>\d+)_\d+\.png"
SYSU_MARKET = r"CUHK-SYSU/(bounding_box_train|query|bounding_box_test)/(?P<pid>\d+)_c\d_\d+\.jpg"

# reader, its arguments, the tree, {part: pattern of its paths} or none, images in train, query, gallery and all
SETS = {
    "Market-1501": (DGMarket1501, {}, trees.market1501, market_style("Market-1501-v15.09.15"), (24, 8, 15, 44)),
    "DukeMTMC": (DGDukeMTMC, {}, trees.dukemtmc, market_style("DukeMTMC-reID"), (24, 8, 12, 44)),
    "CUHK02 nested": (DGCUHK02, {}, trees.cuhk02, {"train": "cuhk02/Dataset" + CUHK02}, (40, 0, 0, 40)),
    "CUHK02 flat": (DGCUHK02, {}, partial(trees.cuhk02, nested=False), {"train": "cuhk02" + CUHK02}, (40, 0, 0, 40)),
    "CUHK03 detected": (DGCUHK03, {}, trees.cuhk03_extracted, None, (24, 8, 12, 44)),
    "CUHK03 labeled": (
        DGCUHK03,
        {"boxes": "labeled"},
        partial(trees.cuhk03_extracted, boxes="labeled"),
        None,
        (24, 8, 12, 44),
    ),
    "CUHK03-NP": (DGCUHK03, {}, trees.cuhk03_np, market_style("CUHK03-NP/detected"), (24, 8, 12, 44)),
    "CUHK-SYSU p_s": (
        DGCUHKSYSU,
        {},
        trees.cuhk_sysu,
        {"train": r"CUHK-SYSU/cropped_images/p(?P<pid>\d+)_s\d+_\d\.jpg"},
        (18, 0, 0, 18),
    ),
    "CUHK-SYSU hard": (
        DGCUHKSYSU,
        {},
        partial(trees.cuhk_sysu, naming="hard"),
        {"train": r"CUHK-SYSU/cropped_image/p(?P<pid>\d+)_n\d\d_s\d+_hard[01]\.png"},
        (18, 0, 0, 18),
    ),
    "CUHK-SYSU Market-style": (
        DGCUHKSYSU,
        {},
        partial(trees.cuhk_sysu, naming="market"),
        {"train": SYSU_MARKET},
        (18, 0, 0, 18),
    ),
    "MSMT17 V1": (DGMSMT17, {}, trees.msmt17, msmt17("MSMT17_V1", "train", "test"), (30, 8, 12, 50)),
    "MSMT17 V2 without val": (
        DGMSMT17,
        {"version": "V2", "val": False},
        partial(trees.msmt17, version="V2"),
        msmt17("MSMT17_V2", "mask_train_v2", "mask_test_v2", val=False),
        (24, 8, 12, 50),
    ),
}

# reader, the tree, the pattern of its images, images in train, query and gallery
TARGETS = {
    "VIPeR": (DGVIPeR, partial(trees.viper, ids=7), r"VIPeR/cam_(?P<camera>[ab])/(?P<pid>\d+)_\d+\.bmp", (6, 4, 4)),
    "PRID": (
        DGPRID,
        partial(trees.prid, only_a=3, only_b=5),
        r"prid_2011/single_shot/cam_(?P<camera>[ab])/person_(?P<pid>\d+)\.png",
        (200, 100, 105),
    ),
    "i-LIDS images": (
        DGiLIDS,
        partial(trees.ilids, ids=5, images=16),
        r"QMUL-iLIDS/images/(?P<pid>\d{4})(?P<camera>\d{3})\.jpg",
        (4, 3, 3),
    ),
    "i-LIDS Persons": (
        DGiLIDS,
        partial(trees.ilids, ids=5, images=16, layout="persons"),
        r"i-LIDS_Pedestrian/Persons/(?P<pid>\d{4})(?P<camera>\d{3})\.jpg",
        (4, 3, 3),
    ),
}
for folder in "GRID", "underground_reid":
    tree = partial(trees.grid, ids=6, distractors=5, folder=folder)
    pattern = rf"{folder}/(probe|gallery)/(?P<pid>\d+)_(?P<camera>\d)_\w+\.jpeg"
    TARGETS[f"GRID in {folder}"] = DGGRID, tree, pattern, (6, 3, 8)


@pytest.fixture(scope="module")
def put(datasets):
    """A function that puts the next of the rendered people at a path, in the format of its suffix."""
    people = [cv2.imread(str(path)) for path in sorted(datasets.rglob("*.jpg"))[:12]]
    encoded = defaultdict(lambda: None)

    def put(path):
        if encoded[path.suffix] is None:
            encoded[path.suffix] = itertools.cycle([cv2.imencode(path.suffix, person)[1] for person in people])
        path.write_bytes(next(encoded[path.suffix]).tobytes())

    return put


@pytest.fixture(scope="module")
def full():
    """Every data set at its published size, of empty files."""
    with tempfile.TemporaryDirectory() as root:
        builders = [trees.market1501, trees.dukemtmc, trees.cuhk02, trees.cuhk_sysu, trees.cuhk03_extracted]
        builders += [trees.msmt17, partial(trees.cuhk03_extracted, boxes="labeled")]
        for build in builders:
            build(Path(root), os.mknod, full=True)
        for build in trees.viper, trees.prid, trees.grid, trees.ilids:
            build(Path(root), os.mknod)
        yield Path(root)


def litter(root):
    """Put into every folder what systems and people leave beside images."""
    for folder, _, names in list(os.walk(root)):
        images = sorted(name for name in names if name.endswith(("jpg", "jpeg", "png", "bmp")))
        for name in ("Thumbs.db", ".DS_Store", *(form % images[0] for form in ("._%s", "%s.part", "old %s") if images)):
            (Path(folder) / name).write_text("no picture")


def read(reader, root, **kwargs):
    """What a reader gives as {part: items}, paths relative to the root; "all" is training with combineall."""
    data = reader(str(root), **kwargs)
    parts = {part: getattr(data, part) for part in PARTS}
    parts["all"] = reader(str(root), combineall=True, **kwargs).train
    return {part: relative(root, items) for part, items in parts.items()}


def relative(root, items):
    return [(Path(path).relative_to(root).as_posix(), pid, camera) for path, pid, camera in items]


def named(root, pattern):
    """The items that the names of files tell of."""
    matches = [re.fullmatch(pattern, path.relative_to(root).as_posix()) for path in root.rglob("*")]
    return [(match[0], *told_by(**match.groupdict())) for match in matches if match]


def told_by(pid, camera="1", pair=None):
    """Identity and camera, from 0, but in CUHK02, and in i-LIDS, where it is the place in a sequence."""
    if pair:
        return f"{pair}_{int(pid)}", f"{pair}_{camera}"
    if camera in "ab":
        return int(pid), "ab".index(camera)
    return int(pid), int(camera) - (len(camera) < 3)


def cuhk03_parts(boxes):
    """The items of the toy CUHK03, of whose images the names do not tell the part."""
    parts = defaultdict(list)
    for part, label, *shot in trees.cuhk03_shots(False, boxes):
        parts[part].append((f"cuhk03/images_{boxes}/{trees.cuhk03_name(*shot)}", label, int(shot[2] > 5)))
    return parts


def check_parts(reader, found, expected, whole_train=None):
    """The items are those expected, and those of training are named as fast-reid names them."""

    def trained(items, infix=""):
        name = f"{reader.dataset_name}_{infix}"
        return [(path, f"{name}{pid}", f"{name}{camera}") for path, pid, camera in items]

    tested = expected["query"] + expected["gallery"]
    people = [item for item in tested if item[1] != 0 or reader in (DGMSMT17, DGVIPeR)]  # there 0 is somebody
    assert sorted(found["train"]) == sorted(trained(expected["train"]))
    assert sorted(found["query"]) == sorted(expected["query"])
    assert sorted(found["gallery"]) == sorted(expected["gallery"])
    assert sorted(found["all"]) == sorted(trained(whole_train or expected["train"]) + trained(people, "test_"))
    assert not {path for path, _, _ in found["train"]} & {path for path, _, _ in tested}
    if reader is not DGMSMT17:  # whose test part numbers other people from 0 again
        assert not {pid for _, pid, _ in expected["train"]} & {pid for _, pid, _ in tested}


def check_pictures(root, found):
    for items in found.values():
        assert all(cv2.imread(str(root / path)) is not None for path, _, _ in items[:3])


@pytest.mark.parametrize("reader, kwargs, build, patterns, counts", SETS.values(), ids=SETS)
def test_a_reader_gives_what_the_names_of_files_tell(reader, kwargs, build, patterns, counts, put, tmp_path):
    build(tmp_path, put)
    litter(tmp_path)
    found = read(reader, tmp_path, **kwargs)
    if patterns:
        expected = {part: named(tmp_path, pattern) for part, pattern in patterns.items()}
    else:
        expected = cuhk03_parts(kwargs.get("boxes", "detected"))
    check_parts(reader, found, {part: expected.get(part, []) for part in PARTS}, expected.get("all"))
    assert tuple(map(len, found.values())) == counts
    check_pictures(tmp_path, found)


@pytest.mark.parametrize("name, reader, build, pattern, counts", [(name, *row) for name, row in TARGETS.items()])
def test_a_target_is_tested_on_half_of_its_people(name, reader, build, pattern, counts, put, tmp_path):
    build(tmp_path, put)
    litter(tmp_path)
    found, images = read(reader, tmp_path), named(tmp_path, pattern)
    if reader is DGPRID:
        images = [item for item in images if item[1] <= 200 or item[2]]
    assert sorted(relative(tmp_path, reader(str(tmp_path)).images)) == sorted(images)
    tested = {pid for _, pid, _ in found["query"]}
    strangers = {pid for _, pid, _ in images if (reader is DGGRID and pid == 0) or (reader is DGPRID and pid > 200)}
    assert {pid for _, pid, _ in found["gallery"]} == tested | strangers
    shown = {path for path, _, _ in found["query"] + found["gallery"]}
    expected = {part: [item for item in images if item in found[part]] for part in ("query", "gallery")}
    expected["train"] = [item for item in images if item[1] not in tested | strangers]
    assert reader is DGiLIDS or len(shown) + len(expected["train"]) == len(images)
    check_parts(reader, found, expected)
    assert tuple(len(found[part]) for part in PARTS) == counts
    check_pictures(tmp_path, found)


@pytest.mark.parametrize("boxes", ["detected", "labeled"])
def test_cuhk03_is_extracted_from_its_mat_once(boxes, datasets, tmp_path):
    people = itertools.cycle([cv2.imread(str(path)) for path in sorted(datasets.rglob("*.jpg"))[:3]])
    trees.cuhk03_mat(tmp_path, lambda: next(people))
    first = read(DGCUHK03, tmp_path, boxes=boxes)
    check_parts(DGCUHK03, first, cuhk03_parts(boxes))
    check_pictures(tmp_path, first)
    mat = tmp_path / "cuhk03/cuhk03_release/cuhk-03.mat"
    mat.write_bytes(b"")  # nothing can be extracted from it now
    assert read(DGCUHK03, tmp_path, boxes=boxes) == first
    mat.unlink()
    assert read(DGCUHK03, tmp_path, boxes=boxes) == first


TREES = [(row[0], row[1], row[2]) for row in SETS.values()] + [(row[0], {}, row[1]) for row in TARGETS.values()]


@pytest.mark.parametrize("reader, kwargs, build", TREES, ids=[*SETS, *TARGETS])
def test_the_order_of_files_and_the_path_of_the_root_change_nothing(reader, kwargs, build, tmp_path):
    build(tmp_path, Path.touch)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    random.Random(0).shuffle(files)
    # on tmpfs, unlike on ext4, a folder lists its files by when they were made
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as copy:
        root = Path(copy) / "x1_c2s3 p7_s4" / "P2" / "0009_c1"
        for file in files:
            target = root / file.relative_to(tmp_path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
        found = read(reader, root, **kwargs)
        assert found == read(reader, tmp_path, **kwargs)
        for items in (found["train"], found["gallery"]) if build in (row[2] for row in SETS.values()) else ():
            for _, in_folder in itertools.groupby(items, lambda item: os.path.dirname(item[0])):
                names = [path for path, _, _ in in_folder]
                assert names == sorted(names)
        if not kwargs and (splits := getattr(reader(str(root)), "splits", None)):
            assert splits == reader(str(tmp_path)).splits
