"""Batches of images have the numbers and the layout of stock."""

import importlib
from unittest import mock

import numpy as np
import pytest
import torch
from fastreid.data import build, build_reid_test_loader, build_reid_train_loader
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import ImageDataset
from fastreid.data.transforms import ToTensor
from fastreid.engine import DefaultTrainer
from PIL import Image

from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.integration import loaders


def stock_collate(items):
    with mock.patch.object(build, "fast_batch_collator", loaders.stock_collate):  # it calls itself by that name
        return loaders.stock_collate(items)


def test_identities_and_cameras_of_a_test_can_be_text(tiny, monkeypatch, datasets):
    """The evaluator gets text numbered, equally for queries and gallery; numbers and a plain loader stay as is."""
    pictures = sorted(map(str, (datasets / "RenderedStation" / "query").iterdir()))

    def targets(query, gallery, camera=str):
        parts = [
            [(path, pid, camera(place)) for place, (path, pid) in enumerate(zip(pictures, pids))]
            for pids in ([], query, gallery)
        ]
        reader = type(
            "Own", (ImageDataset,), {"__init__": lambda self, root, **kw: ImageDataset.__init__(self, *parts)}
        )
        monkeypatch.setitem(DATASET_REGISTRY._obj_map, "Own", reader)
        as_it_is, num_query = build_reid_test_loader(tiny(), dataset_name="Own")
        assert num_query == len(query)
        if None not in gallery:  # stock cannot sort None
            assert as_it_is.dataset.img_items == parts[1] + parts[2]  # a project's own evaluator may want the text
        loader, _ = DefaultTrainer.build_evaluator(tiny(), "Own")
        batch = next(iter(loader))
        return batch["targets"].tolist(), batch["camids"].tolist()

    assert targets(["carl", "anna"], ["anna", "bert", None, ""]) == ([2, 0, 0, 1, -1, -1], [0, 1, 0, 1, 2, 3])
    assert targets([7, 3], [3, -1, 0, 7], camera=int) == ([7, 3, 3, -1, 0, 7], [0, 1, 0, 1, 2, 3])
    assert targets(["7", "007"], ["-1", "x", "7"])[0] == [7, 8, -1, 9, 7]
    assert targets(["1" * 30, "7"], ["7", "1" * 30])[0] == [8, 7, 7, 8], "too many digits for 64 bits"
    with pytest.raises(UserError, match="1 of 2 queries have no identity; the first is .*give each one"):
        targets(["anna", None], ["anna"])


def test_a_small_test_starts_few_processes(tiny, monkeypatch):
    def workers():
        loader, _ = build_reid_test_loader(tiny(), dataset_name="RenderedStation")
        return loader.num_workers, [batch["img_paths"] for batch in loader]

    none, order = workers()
    monkeypatch.setattr(loaders, "IMAGES_A_WORKER", 1)
    assert (none, workers()) == (0, (4, order)), "stock starts four"
    assert build_reid_train_loader(tiny("baseline", "DATALOADER.NUM_WORKERS", "2")).num_workers == 2
    without_config, _ = build_reid_test_loader([0], test_batch_size=1, num_query=0, num_workers=3)
    assert without_config.num_workers == 3


@pytest.mark.parametrize("mode", ["RGB", "L", "YCbCr"])
def test_images_and_batches_equal_stocks(mode):
    stock = importlib.import_module("fastreid.data.transforms.functional").to_tensor.__wrapped__
    rng, ours, theirs = np.random.default_rng(0), [], []
    for number in range(3):
        image = Image.fromarray(rng.integers(0, 256, (24, 8, 3), dtype=np.uint8)).convert(mode)
        for items, to_tensor in (ours, ToTensor()), (theirs, stock):
            items.append({"images": to_tensor(image), "targets": number, "weight": 0.5, "img_paths": f"{number}.jpg"})
        assert ours[-1]["images"].stride() == theirs[-1]["images"].stride()
    own, expected = build.fast_batch_collator(ours), stock_collate(theirs)
    assert build.fast_batch_collator([None, None]) is stock_collate([None, None]) is None
    unlike = [torch.ones(3, 4, 2), 2 * torch.ones(1, 4, 2, dtype=torch.double)]
    assert torch.equal(build.fast_batch_collator(unlike), stock_collate(unlike))
    assert list(own) == list(expected) and own["img_paths"] == expected["img_paths"]
    for key in ("images", "targets", "weight"):
        assert torch.equal(own[key], expected[key]) and own[key].dtype == expected[key].dtype
        assert own[key].stride() == expected[key].stride()
