"""Batches of images: stock's numbers in stock's layout."""

import importlib
from unittest import mock

import numpy as np
import pytest
import torch
from fastreid.data import build
from fastreid.data.transforms import ToTensor
from PIL import Image

from fastreid_gdnorm.integration import loaders


def stock_collate(items):
    with mock.patch.object(build, "fast_batch_collator", loaders.stock_collate):  # which calls itself by that name
        return loaders.stock_collate(items)


@pytest.mark.parametrize("mode", ["RGB", "L", "YCbCr"])
def test_images_and_batches_are_stocks(mode):
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
