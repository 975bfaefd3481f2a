"""Training images are the same at any time, in any process and in any order."""

import random

import numpy as np
import torch
from fastreid.data import CommDataset
from fastreid.data.transforms import build_transforms
from torch.utils.data import DataLoader

from fastreid_gdnorm.runs.run_config import load_config
from fastreid_gdnorm.training.training_images import RepeatableImages

from ..conftest import DEMO, TINY


def test_augmentation_is_seeded_by_the_file_name_and_leaves_the_global_random_state_alone(datasets):
    files = sorted((datasets / "RenderedStreet" / "bounding_box_train").glob("*.jpg"))
    items = [(str(file), 0, 0) for file in files]
    augment = build_transforms(load_config(f"{DEMO}/gdnorm.yml", TINY), is_train=True)
    images, backwards = (RepeatableImages(of, augment, relabel=False) for of in (items, items[::-1]))
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    first = torch.stack([images[place]["images"] for place in range(len(items))])
    drawn = torch.rand(()), random.random(), np.random.rand()
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    assert drawn == (torch.rand(()), random.random(), np.random.rand())
    again = torch.stack([backwards[len(items) - 1 - place]["images"] for place in range(len(items))])
    in_workers = torch.cat([batch["images"] for batch in DataLoader(images, 5, num_workers=2)])
    assert torch.equal(first, again) and torch.equal(first, in_workers)
    plain = CommDataset(items, build_transforms(load_config(f"{DEMO}/gdnorm.yml", TINY), is_train=False), relabel=False)
    differing = [not torch.equal(image, plain[place]["images"]) for place, image in enumerate(first)]
    assert np.mean(differing) > 0.9, "most images are augmented"
