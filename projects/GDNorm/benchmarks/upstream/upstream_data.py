"""Small data sets in the layouts that upstream's projects read: noise with a colour for each identity."""

import numpy as np
from PIL import Image
from scipy.io import savemat

PEOPLE, EACH = 6, 4  # identities of a training set and images of each: 3 batches of 8
STRANGERS = 60  # more than the 50 ranks that stock's ranking needs; upstream's evaluators call it unpatched
FACES = 112  # pixels


class Pictures:
    """Writes pictures of identities; every run writes the same ones."""

    def __init__(self):
        self._random = np.random.default_rng(0)

    def write(self, path, identity, size=(48, 96)):
        """Write a JPEG or PNG, as the suffix says, of ``size`` = (width, height)."""
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.pixels(identity, size)).save(path)

    def pixels(self, identity, size):
        """Pixels (height, width, 3), 0 to 255: the identity's colour plus noise."""
        colour = np.random.default_rng(identity).integers(40, 200, 3)
        noise = self._random.integers(-40, 40, (size[1] // 4, size[0] // 4, 3))
        return (colour + noise).repeat(4, 0).repeat(4, 1).astype(np.uint8)


def draw_all(root):
    """Draw every data set into the folder ``root``."""
    pictures = Pictures()
    for draw in (reid, attributes, classes, retrieval, naic, partial, faces):
        draw(root, pictures)


def reid(root, pictures):
    """Market-1501 and DukeMTMC-reID."""
    for folder, name in (
        ("Market-1501-v15.09.15", "{:04d}_c{}s1_{:06d}_00.jpg"),
        ("DukeMTMC-reID", "{:04d}_c{}_f{:07d}.jpg"),
    ):
        for part, first, each in (("bounding_box_train", 1, EACH), ("query", 20, 1), ("bounding_box_test", 20, EACH)):
            for identity in range(first, first + PEOPLE):
                for number in range(each):
                    camera = 1 + (number + (part == "query")) % 2
                    file = name.format(identity, camera, number + 100 * (part == "query"))
                    pictures.write(root / folder / part / file, identity)


def attributes(root, pictures):
    """Market-1501's 27 attributes: 1 or 2 for each identity."""
    random = np.random.default_rng(1)
    parts = {}
    for part, first in (("train", 1), ("test", 20)):
        parts[part] = {f"attribute{number:02d}": random.integers(1, 3, PEOPLE) for number in range(27)}
        parts[part]["image_index"] = np.array([f"{first + person:04d}" for person in range(PEOPLE)], object)
    savemat(root / "Market-1501-v15.09.15" / "market_attribute.mat", {"market_attribute": parts})


def classes(root, pictures):
    """Folders of images, one for each class."""
    for part in ("train", "val"):
        for identity, name in enumerate(("ants", "bees")):
            for number in range(12):
                pictures.write(root / "hymenoptera_data" / part / name / f"{number}.jpg", identity, (96, 96))


def retrieval(root, pictures):
    """Lists of images with labels: test images alone (Cars, CUB), or queries and a gallery (InShop)."""
    for folder, parts in (
        ("Cars_196", ("train", "test")),
        ("CUB_200_2011", ("train", "test")),
        ("InShop", ("train", "test_query", "test_gallery")),
    ):
        for part in parts:
            lines = []
            for identity in range(PEOPLE):
                for number in range(1 if part == "test_query" else 10 if part == "test_gallery" else EACH):
                    lines.append(f"{part}/{identity}_{number}.jpg,{identity}")
                    pictures.write(root / folder / part / f"{identity}_{number}.jpg", identity, (96, 96))
            (root / folder / f"{part}.txt").write_text("\n".join(lines) + "\n")


def naic(root, pictures):
    """The lists of two rounds and of the year before, which has another format."""
    for folder, images, prefix, separator, lists in (
        ("2020_NAIC/fusai/train", "images", "", ":", ("naic20r2_train_list_clean", "val_query", "val_gallery")),
        ("2020_NAIC/chusai/train", "images", "", ":", ("label",)),
        ("2019_NAIC/fusai", "", "train/", " ", ("train_list_clean",)),
    ):
        for name in lists:
            lines = []
            for identity in range(PEOPLE):
                for number in range(1 if name == "val_query" else EACH):
                    file = f"{prefix}{name}{identity}_{number}.png"
                    lines.append(f"{file}{separator}{identity}")
                    pictures.write(root / "naic" / folder / images / file, identity)
            (root / "naic" / folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def partial(root, pictures):
    """Partial-REID, Partial-iLIDS and Occluded-REID: queries and whole people."""
    for query, gallery in (
        ("Partial_REID/partial_body_images", "Partial_REID/whole_body_images"),
        ("PartialiLIDS/query", "PartialiLIDS/gallery"),
        ("OccludedREID/query", "OccludedREID/gallery"),
    ):
        for identity in range(STRANGERS):
            pictures.write(root / gallery / f"{identity:03d}_1.jpg", identity)
            if identity < PEOPLE:
                pictures.write(root / query / f"{identity:03d}_2.jpg", identity, (48, 64))


def faces(root, pictures):
    """MS-Celeb-1M as folders, and LFW's pairs as the arrays that bcolz would hold."""
    size = (FACES, FACES)
    for identity in range(PEOPLE):
        for number in range(EACH):
            pictures.write(root / "MS_Celeb_1M" / f"{identity}" / f"{number}.jpg", identity, size)
    same = np.arange(20) % 2 == 0
    pairs = [(number, number if alike else number + 1) for number, alike in enumerate(same)]
    images = [pictures.pixels(identity, size).transpose(2, 0, 1) for pair in pairs for identity in pair]
    folder = root / "faces_emore_val"
    (folder / "lfw").mkdir(parents=True)
    np.save(folder / "lfw" / "images.npy", np.stack(images).astype(np.float32) / 127.5 - 1)
    np.save(folder / "lfw_list.npy", same)
