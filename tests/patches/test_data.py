"""Patches of fast-reid's data sets and loaders."""

import inspect
import threading
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from fastreid.data import CommDataset, build_reid_test_loader, build_reid_train_loader, data_utils
from fastreid.data.data_utils import BackgroundGenerator
from fastreid.data.transforms import build_transforms
from PIL import Image

from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.image_loading import read_picture


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_unreadable_image_reaches_the_caller_and_names_its_file(tiny, tmp_path, monkeypatch, workers):
    cfg = tiny("baseline", "DATALOADER.NUM_WORKERS", workers)
    loader = build_reid_train_loader(cfg)
    broken = tmp_path / "0001_c1s1_000001_00.jpg"
    broken.write_bytes(Path(loader.dataset.img_items[0][0]).read_bytes()[:300])
    loader.dataset.img_items = [(str(broken), *item[1:]) for item in loader.dataset.img_items]
    batches = iter(loader)
    with pytest.raises(UserError, match=f"cannot read image {broken}.*replace or remove it") as caught:
        next(batches)
    assert isinstance(caught.value, OSError), "data sets may catch stock's OSError"
    if workers != "0" and loader.stream is None:  # otherwise fast-reid ends them
        batches._shutdown_workers()  # the garbage collector would delay a later test by 10 s


def test_images_of_every_mode_are_read_as_rgb(tmp_path):
    """A data set and a gallery read the same pixels; of a JPEG, exactly those that stock reads."""
    ramp = np.linspace(0, 255, 96).round().astype(np.uint8).reshape(12, 8)
    colours = Image.fromarray(np.stack([ramp, ramp[::-1], ramp // 2], axis=2))
    turned = Image.Exif()
    turned[0x0112] = 6
    kinds = {
        "palette.png": colours.convert("P", palette=Image.Palette.ADAPTIVE),
        "rgba.png": colours.convert("RGBA"),
        "la.png": colours.convert("LA"),
        "1bit.png": colours.convert("1"),
        "16bit.png": Image.fromarray(ramp.astype(np.uint16) * 257),
        "cmyk.jpg": colours.convert("CMYK"),
        "grey.jpg": colours.convert("L"),
        "rgb.jpg": colours,
    }
    for name, image in kinds.items():
        image.save(tmp_path / name, exif=turned)
        (item,) = CommDataset([(str(tmp_path / name), 0, 0)])
        assert item["images"].mode == "RGB" and item["images"].size == (12, 8)
        assert np.array_equal(item["images"], read_picture(tmp_path / name))
        if name in ("grey.jpg", "rgb.jpg"):
            assert np.array_equal(item["images"], inspect.unwrap(data_utils.read_image)(tmp_path / name))


@pytest.mark.parametrize("name, error", [("none.jpg", FileNotFoundError), ("damaged.jpg", OSError)])
def test_an_unreadable_image_raises_the_class_of_error_that_stock_raises(name, error, tmp_path):
    (tmp_path / "damaged.jpg").write_bytes(b"no picture")
    with pytest.raises(error, match=f"cannot read image .*{name}") as caught:
        CommDataset([(str(tmp_path / name), 0, 0)])[0]
    assert isinstance(caught.value, UserError)


def test_an_error_in_the_prefetching_thread_does_not_hang_its_reader():
    def batches():
        yield from ()
        raise UserError("broken")

    caught = []

    def read():
        try:
            list(BackgroundGenerator(batches(), 0))
        except Exception as error:  # without CUDA, the thread already fails to choose its device
            caught.append(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(20)
    assert not reader.is_alive() and caught


def test_the_data_root_is_read_when_it_is_used(tiny, tmp_path, monkeypatch):
    cfg = tiny("baseline", "DATASETS.NAMES", "('Market1501',)", "DATASETS.TESTS", "('DukeMTMC',)")
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match=f'Market1501: "{tmp_path}/elsewhere.* is not found; set FASTREID_DATASETS'):
        build_reid_train_loader(cfg)
    with pytest.raises(UserError, match=f'DukeMTMC: "{tmp_path}/elsewhere.* is not found; set FASTREID_DATASETS'):
        build_reid_test_loader(cfg, dataset_name="DukeMTMC")


def test_a_loader_gives_the_images_that_stock_gives_and_ends(tiny):
    loader, num_query = build_reid_test_loader(tiny(), dataset_name="RenderedStation")
    paths = [path for batch in loader for path in batch["img_paths"]]
    assert paths == [item[0] for item in loader.dataset.img_items] and num_query == 12
    assert all(batch["images"].device.type == "cpu" for batch in islice(loader, 1)) or torch.cuda.is_available()


def test_every_augmentation_can_be_enabled(tiny):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 16, 3), dtype=np.uint8))
    for name in ("AUTOAUG", "CROP", "FLIP", "PADDING", "CJ", "AFFINE", "AUGMIX", "REA", "RPT"):
        transform = build_transforms(tiny("baseline", f"INPUT.{name}.ENABLED", True), is_train=True)
        assert transform(image).shape[0] == 3, name
