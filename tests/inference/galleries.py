"""Galleries of random features."""

import numpy as np

from fastreid_gdnorm import Gallery
from fastreid_gdnorm.inference.description import Description, ModelInput
from fastreid_gdnorm.inference.extraction import Extraction
from fastreid_gdnorm.inference.records import Record

DIMENSIONS = 24


def described(metric="cosine", model="m" * 64):
    return Description(model, metric, DIMENSIONS, ModelInput((4, 2)))


def random_images(images, seed=0, cameras=3, metric="cosine"):
    """Random features around a few centres, with cameras in turn."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, images // 5), DIMENSIONS))
    features = (centres[rng.integers(len(centres), size=images)] + 0.3 * rng.normal(size=(images, DIMENSIONS))).astype(
        np.float32
    )
    if metric == "cosine":
        features /= np.linalg.norm(features, axis=1, keepdims=True)
    records = [
        Record(f"/{seed}/{place}.jpg", str(place % cameras), f"{place}", f"{place % 7}") for place in range(images)
    ]
    return Extraction(records, [f"{seed}-{place}" for place in range(images)], features)


def filled(metric="cosine", images=60, **options):
    made = Gallery(described(metric), **options)
    made.add(random_images(images, metric=metric))
    return made
