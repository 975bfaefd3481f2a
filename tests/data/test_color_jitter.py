"""Colour jitter draws the numbers and gives the pixels of torchvision's."""

import numpy as np
import pytest
import torch
import torchvision.transforms as T
from fastreid.data.transforms import build_transforms
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from fastreid_gdnorm.data import ColorJitter

STRENGTHS = {"brightness": (0, 3), "contrast": (0, 3), "saturation": (0, 3), "hue": (-0.5, 0.5)}


def same(image, **strengths):
    jittered = []
    for kind in T.ColorJitter, ColorJitter:
        torch.manual_seed(0)
        jittered.append((np.asarray(kind(**strengths)(image)), torch.rand(1)))
    (expected, later), (found, own_later) = jittered
    return expected.shape == found.shape and np.array_equal(expected, found) and later == own_later


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))),
    st.fixed_dictionaries(
        {name: st.tuples(st.floats(*of), st.floats(*of)).map(sorted) for name, of in STRENGTHS.items()}
    ),
)
def test_any_image_at_any_strength(pixels, strengths):
    assert same(Image.fromarray(pixels), **strengths)


@pytest.mark.parametrize("name", STRENGTHS)
@pytest.mark.parametrize("place", [0, 0.25, 1 / 3, 0.4, 0.5, 0.6, 1])
def test_each_adjustment_of_many_colours(name, place):
    low, high = STRENGTHS[name]
    factor = low + place * (high - low)
    assert same(colours(np.arange(0, 256, 3)), **{name: (factor, factor)})


def test_the_hue_of_all_colours():
    for start in range(0, 256, 16):
        assert same(colours(np.arange(start, start + 16), np.arange(256)), hue=(0.07, 0.07))


def colours(reds, others=None):
    """An image with every combination of these levels."""
    others = reds if others is None else others
    grid = np.stack(np.meshgrid(reds, others, others), axis=-1).astype(np.uint8)
    return Image.fromarray(grid.reshape(len(others), -1, 3))


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_images_of_other_modes_go_to_torchvision(mode):
    assert same(colours(np.arange(0, 256, 64)).convert(mode), brightness=0.5, contrast=0.5, saturation=0.5, hue=0.1)


def test_training_images_are_jittered_by_it(tiny):
    kinds = [type(of) for apply in build_transforms(tiny()).transforms for of in getattr(apply, "transforms", [])]
    assert kinds == [ColorJitter]
