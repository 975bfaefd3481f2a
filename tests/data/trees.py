"""Builds trees of the public re-ID data sets in their true layouts, to test the readers without the data.

Every builder takes the folder of all data sets, and `put`, which creates a picture at a path. Other files are written
here. `full` makes the published number of identities and pictures.
"""

from itertools import count

import numpy as np
from scipy.io import savemat


def write_images(put, folder, names):
    """Put a picture at each of `names` under `folder`, making each parent folder once."""
    paths = [folder / name for name in names]
    for parent in {path.parent for path in paths}:
        parent.mkdir(parents=True, exist_ok=True)
    for path in paths:
        put(path)


def write_text(path, text=""):
    """Write a file that is not a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def matlab(values):
    """Give integers the smallest type that fits, as Matlab does in its files."""
    return values.astype(np.min_scalar_type(values.max()))


def deal(ids, images, cameras, first=0):
    """Deal `images` evenly to `ids`, moving each from camera to camera.

    Yields (identity, camera from 1, the picture's number within its identity, counted from `first`).
    """
    share, left = divmod(images, len(ids))
    for k, pid in enumerate(ids):
        for n in range(first, first + share + (k < left)):
            yield pid, (k + n) % cameras + 1, n


def write_market_style(put, folder, name, cameras, train, query, gallery):
    """Write the three folders of a data set in Market-1501's layout; each part is (ids, number of pictures)."""
    parts = ("bounding_box_train", train, 0), ("query", query, 0), ("bounding_box_test", gallery, 50)
    for part, (ids, images), first in parts:
        write_images(put, folder / part, (name(*shot) for shot in deal(ids, images, cameras, first)))


def market1501(root, put, full=False):
    """Write Market-1501, including junk (-1) and distractors (0)."""
    folder = root / "Market-1501-v15.09.15"
    train, test = (range(1, 1502, 2), range(2, 1501, 2)) if full else (range(1, 12, 2), range(2, 9, 2))
    in_train, in_query, in_gallery, distractors, junk = (12936, 3368, 13115, 2798, 3819) if full else (24, 8, 12, 3, 2)

    def name(pid, camera, n):
        return f"{pid if pid < 0 else f'{pid:04d}'}_c{camera}s{n % 6 + 1}_{451 + 25 * n:06d}_{n % 4 + 1:02d}.jpg"

    write_market_style(put, folder, name, 6, (train, in_train), (test, in_query), (test, in_gallery))
    for pid, images in (0, distractors), (-1, junk):
        write_images(put, folder / "bounding_box_test", (name(*shot) for shot in deal([pid], images, 6)))
    write_images(put, folder / "gt_bbox", [name(test[0], 1, 0)])
    write_text(folder / "gt_query" / name(test[0], 1, 0).replace(".jpg", "_good.mat"))
    for other in "query/Thumbs.db", "bounding_box_test/Thumbs.db", "readme.txt":
        write_text(folder / other)


def dukemtmc(root, put, full=False):
    """Write DukeMTMC-reID. At full size, 408 identities of its gallery are in no query."""
    folder = root / "DukeMTMC-reID"
    train, test = (range(1, 7020, 10), range(2, 6662, 6)) if full else (range(1, 60, 10), range(2, 26, 6))
    in_train, in_query, in_gallery = (16522, 2228, 17661) if full else (24, 8, 12)

    def name(pid, camera, n):
        return f"{pid:04d}_c{camera}_f{46182 + 120 * n:07d}.jpg"

    write_market_style(put, folder, name, 8, (train, in_train), (test[:702], in_query), (test, in_gallery))
    for other in "LICENSE_DukeMTMC.txt", "README.md":
        write_text(folder / other)


def cuhk02(root, put, full=False, nested=True):
    """Write CUHK02, which numbers identities from 1 in each pair of cameras, with or without `Dataset/`."""
    folder = root / "cuhk02" / ("Dataset" if nested else "")
    for pair, ids in enumerate((971, 306, 107, 193, 239) if full else (2,) * 5, start=1):
        names = [f"{pid:03d}_{2 * pid + n:04d}.png" for pid in range(1, ids + 1) for n in range(2)]
        for camera in "cam1", "cam2":
            write_images(put, folder / f"P{pair}" / camera, names)
    write_text(folder / ".DS_Store")


def cuhk03_shots(full, boxes):
    """List the pictures of CUHK03 as (part, label from 1, camera pair, identity in it, cell of 10), in filelist order.

    Cells 1-5 are the first camera's, 6-10 the second's. At full size most identities have all ten.
    """
    pairs = (843, 440, 77, 58, 49) if full else (2,) * 5
    ids = [(pair, pid) for pair, size in enumerate(pairs, start=1) for pid in range(1, size + 1)]
    train_ids, train, test = (767, *((7365, 6732) if boxes == "detected" else (7368, 6728))) if full else (6, 24, 20)
    labels = np.random.default_rng(0).permutation(len(ids)) + 1
    images = dict.fromkeys(labels.tolist(), 0)
    for part, number in (labels[:train_ids], train), (labels[train_ids:], test):
        for label, _, _ in deal(part.tolist(), number, 1):
            images[label] += 1
    in_train, shots = set(labels[:train_ids].tolist()), []
    for label, (pair, pid) in enumerate(ids, start=1):
        first = (images[label] + 1) // 2
        for cell in (*range(1, 1 + first), *range(6, 6 + images[label] - first)):
            part = "train" if label in in_train else "query" if cell in (1, 6) else "gallery"
            shots.append((part, label, pair, pid, cell))
    return shots


def cuhk03_name(pair, pid, cell):
    """The name that extraction from cuhk-03.mat gives a picture."""
    return f"{pair}_{pid:03d}_{1 if cell <= 5 else 2}_{cell:02d}.png"


def write_cuhk03_protocol(root, boxes, shots):
    """Write the new protocol's configuration as Matlab does: columns, 1-based indices, a cell array of names."""
    parts, labels, _, _, cells = (np.array(column) for column in zip(*shots))
    config = {"labels": matlab(labels[:, None]), "camId": matlab(np.where(cells <= 5, 1, 2)[:, None])}
    for part in "train", "query", "gallery":
        config[f"{part}_idx"] = matlab(np.flatnonzero(parts == part)[:, None] + 1)
    config["filelist"] = np.array([cuhk03_name(*shot[2:]) for shot in shots], dtype=object)[:, None]
    (root / "cuhk03").mkdir(parents=True, exist_ok=True)
    savemat(root / "cuhk03" / f"cuhk03_new_protocol_config_{boxes}.mat", config)


def cuhk03_extracted(root, put, full=False, boxes="detected"):
    """Write CUHK03 after extraction from cuhk-03.mat, with the new protocol's configuration."""
    shots = cuhk03_shots(full, boxes)
    write_images(put, root / "cuhk03" / f"images_{boxes}", (cuhk03_name(*shot[2:]) for shot in shots))
    write_cuhk03_protocol(root, boxes, shots)


def cuhk03_np(root, put, full=False, boxes="detected"):
    """Write CUHK03-NP of the re-ranking paper, whose pictures are numbered consecutively: 0003_c2_27.png."""
    folders = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
    names = (
        f"{folders[part]}/{label:04d}_c{1 if cell <= 5 else 2}_{10 * (label - 1) + cell}.png"
        for part, label, _, _, cell in cuhk03_shots(full, boxes)
    )
    write_images(put, root / "CUHK03-NP" / boxes, names)


def cuhk03_mat(root, picture):
    """Write a toy cuhk-03.mat, cells within cells by reference, and both configurations beside its folder.

    `picture` returns an (H, W, 3) uint8 array. HDF5 has Matlab's arrays transposed, and an empty cell as its size.
    """
    import h5py  # only this builder needs it

    path = root / "cuhk03" / "cuhk03_release" / "cuhk-03.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as mat:
        numbers = count()

        def store(array):
            return mat.create_dataset(f"#refs#/{next(numbers)}", data=array).ref

        def cells(rows):
            return np.array(rows, dtype=h5py.ref_dtype).T

        for boxes in "detected", "labeled":
            shots = cuhk03_shots(False, boxes)
            write_cuhk03_protocol(root, boxes, shots)
            taken = {shot[2:] for shot in shots}

            def cell(*shot, taken=taken):
                return store(picture().T if shot in taken else np.zeros(2, dtype=np.uint64))

            pairs = [[[cell(pair, pid, n) for n in range(1, 11)] for pid in (1, 2)] for pair in range(1, 6)]
            mat[boxes] = cells([[store(cells(pair))] for pair in pairs])
        tests = [np.array([[t % 5 + 1, t % 2 + 1]], dtype=float) for t in range(20)]  # (camera pair, identity)
        mat["testsets"] = cells([[store(test.T)] for test in tests])


def cuhk_sysu(root, put, full=False, naming="p_s"):
    """Write crops of CUHK-SYSU with one of the namings in use: torchreid's p_s, MetaBIN's hard, or market.

    The data set has no cameras; here Market-style queries have camera 0, all others camera 1.
    """
    folder = root / "CUHK-SYSU"
    ids, images = (range(1, 11935), 34574) if full else (range(1, 7), 18)
    if naming == "market":
        train, in_train = (ids[:5532], 15088) if full else (ids[:3], 9)
        test = ids[len(train) :]
        for part, pids, number, camera in (
            ("bounding_box_train", train, in_train, 1),
            ("query", test, len(test), 0),
            ("bounding_box_test", test, images - in_train - len(test), 1),
        ):
            shots = deal(pids, number, 1, first=1)
            write_images(put, folder / part, (f"{pid:04d}_c{camera}_{n:05d}.jpg" for pid, _, n in shots))
        return
    name, crops = {
        "p_s": ("p{pid}_s{scene}_{n}.jpg", "cropped_images"),
        "hard": ("p{pid:05d}_n{n:02d}_s{scene:05d}_hard{hard}.png", "cropped_image"),
    }[naming]
    shots = deal(ids, images, 1, first=1)
    names = (name.format(pid=pid, scene=(3 * pid + n) % 18184 + 1, n=n, hard=n % 2) for pid, _, n in shots)
    write_images(put, folder / crops, names)


def msmt17(root, put, full=False, version="V1"):
    """Write MSMT17 of either version. Test identities count from 0 again, and val has the identities of train."""
    folder = root / f"MSMT17_{version}"
    train_folder, test_folder = {"V1": ("train", "test"), "V2": ("mask_train_v2", "mask_test_v2")}[version]
    train, test = (range(1041), range(3060)) if full else (range(6), range(4))
    for part, images_folder, ids, images, first in (
        ("train", train_folder, train, 30248 if full else 24, 0),
        ("val", train_folder, train, 2373 if full else 6, 100),
        ("query", test_folder, test, 11659 if full else 8, 0),
        ("gallery", test_folder, test, 82161 if full else 12, 100),
    ):
        names = [
            f"{pid:04d}/{pid:04d}_{n:03d}_{camera:02d}_0303{('morning', 'noon', 'afternoon')[n % 3]}_{8 + n:04d}_0.jpg"
            for pid, camera, n in deal(ids, images, 15, first)
        ]
        write_images(put, folder / images_folder, names)
        write_text(folder / f"list_{part}.txt", "".join(f"{name} {int(name[:4])}\n" for name in names))


def viper(root, put, ids=632):
    """Write VIPeR, whose identities are 632 of the numbers 0 to 873."""
    pids = [874 * k // ids for k in range(ids)]
    for camera, angles in ("cam_a", (0, 45, 90)), ("cam_b", (90, 135, 180)):
        write_images(put, root / "VIPeR" / camera, (f"{pid:03d}_{angles[pid % 3]}.bmp" for pid in pids))


def prid(root, put, shared=200, only_a=185, only_b=549):
    """Write PRID 2011. After the shared identities, the same number in both cameras is two different people."""
    folder = root / "prid_2011"
    for camera, ids in ("cam_a", shared + only_a), ("cam_b", shared + only_b):
        write_images(put, folder / "single_shot" / camera, (f"person_{pid:04d}.png" for pid in range(1, ids + 1)))
    write_images(put, folder / "multi_shot" / "cam_a" / "person_0001", ["0001.png"])
    write_text(folder / "readme.txt")


def grid(root, put, ids=250, distractors=775, folder="underground_reid"):
    """Write GRID and its ten partitions, each training on half of the identities.

    In a partition, personIdx has identities, and the image indices are rows of features: 2k - 1 and 2k for the pictures
    of identity k in gallery and probe, then the distractors.
    """
    folder = root / folder
    for part, first in ("probe", 0), ("gallery", 3):
        names = (
            f"{pid:04d}_{(pid + first) % 8 + 1}_{25004 + 10 * pid + first}_{90 + pid % 40}_32_106_221.jpeg"
            for pid in range(1, ids + 1)
        )
        write_images(put, folder / part, names)
    names = (f"0000_{n % 8 + 1}_{25698 + n}_101_16_87_246.jpeg" for n in range(distractors))
    write_images(put, folder / "gallery", names)

    draw = np.random.default_rng(0)
    train_all, test_all = (np.empty((1, 10), dtype=object) for _ in range(2))
    for k in range(10):
        order = draw.permutation(ids) + 1
        train, test = np.sort(order[: ids // 2]), np.sort(order[ids // 2 :])
        others = 2 * ids + 1 + np.arange(distractors)
        for partition, people, extra in (train_all, train, others[:0]), (test_all, test, others):
            gallery = np.append(2 * people - 1, extra)
            fields = {"probeImIdx": 2 * people, "galleryImIdx": gallery, "personIdx": people}
            partition[0, k] = {field: matlab(values[None]) for field, values in fields.items()}
    savemat(folder / "features_and_partitions.mat", {"trainIdxAll": train_all, "testIdxAll": test_all})


def ilids(root, put, ids=119, images=476, layout="images"):
    """Write i-LIDS, with two to eight pictures per identity, in MetaBIN's folders (images) or torchreid's (persons)."""
    folder = {"images": root / "QMUL-iLIDS" / "images", "persons": root / "i-LIDS_Pedestrian" / "Persons"}[layout]
    shares = [2 + min(6, max(0, images - 2 * ids - 6 * k)) for k in range(ids)]
    names = (f"{k:04d}{n:03d}.jpg" for k, share in enumerate(shares, start=1) for n in range(1, share + 1))
    write_images(put, folder, names)
