"""``domains`` in every training batch, with every sampler and through worker processes."""

import logging
from itertools import islice

import pytest
from fastreid.data import build_reid_train_loader
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import ImageDataset

from fastreid_gdnorm.data import DomainDataset

SAMPLERS = ["DomainBalancedIdentitySampler", "NaiveIdentitySampler", "BalancedIdentitySampler", "TrainingSampler"]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_images_domain_is_the_position_of_its_data_set(tiny, sampler, workers):
    cfg = tiny("baseline", "DATALOADER.SAMPLER_TRAIN", sampler, "DATALOADER.NUM_WORKERS", str(workers))
    loader = build_reid_train_loader(cfg)
    seen = set()
    for batch in islice(iter(loader), 4):
        assert batch["domains"].dtype == batch["targets"].dtype and len(batch["domains"]) == 12
        for domain, path in zip(batch["domains"].tolist(), batch["img_paths"]):
            assert f"/{cfg.DATASETS.NAMES[domain]}/" in path
            seen.add(domain)
    assert seen == {0, 1, 2}


def test_identities_of_different_domains_are_different_classes(tiny):
    dataset = build_reid_train_loader(tiny()).dataset
    assert dataset.num_classes == 3 * 6
    classes = {(dataset[i]["domains"], dataset[i]["targets"]) for i in range(len(dataset))}
    assert len(classes) == 3 * 6


def own(monkeypatch, **sets):
    """Register a user's data sets: for each name, the (identity, camera) of its training images."""
    for name, people in sets.items():

        def init(self, root="", people=people, name=name, **kwargs):
            items = [(f"{name}{number}.jpg", *who) for number, who in enumerate(people)]
            ImageDataset.__init__(self, items, [], [], **kwargs)

        reader = type(name, (ImageDataset,), {"__init__": init, "dataset_name": name.lower()})
        monkeypatch.setitem(DATASET_REGISTRY._obj_map, name, reader)


@pytest.mark.parametrize(
    "people, classes, cameras",
    [
        ({"A": [1, 2, 3], "B": [1, 2, 3]}, 6, 4),
        ({"A": ["anna", "bert"], "B": ["anna", "carl"]}, 4, 4),
        ({"A": ["a_1", "a_2"], "B": [1, 2], "C": ["1", "2"]}, 6, 6),
        ({"A": [1, 2, -1, None], "B": [3, 4, -1]}, 4, 4),
    ],
    ids=["numbers", "text", "kinds", "nobody"],
)
def test_data_sets_share_no_person_by_chance(tiny, monkeypatch, caplog, people, classes, cameras):
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)
    own(monkeypatch, **{name: [(pid, place % 2) for place, pid in enumerate(pids)] for name, pids in people.items()})
    cfg = tiny("baseline", "DATALOADER.SAMPLER_TRAIN", "TrainingSampler", "DATASETS.NAMES", str(tuple(people)))
    found = build_reid_train_loader(cfg).dataset
    assert (found.num_classes, found.num_cameras) == (classes, cameras)
    labels = {(domain, found.pid_dict[item[1]]) for item, domain in zip(found.img_items, found.domains)}
    assert len(labels) == classes and all(path[0] == "ABC"[k] for (path, *_), k in zip(found.img_items, found.domains))
    left_out = [message for message in caplog.messages if "left out" in message]
    assert bool(left_out) == (-1 in people["A"])
    assert not left_out or left_out[0].startswith(
        "A: left out 2 of 4 training images, because their identity is None, empty or"
    )


def test_people_that_sources_share_on_purpose_stay_one():
    """Numbers that no two sources share keep their order, which a checkpoint's classifier depends on."""
    text = [[("", f"market1501_{pid}", k) for pid in (1, 2)] for k in range(2)]
    assert DomainDataset(text).num_classes == 2
    assert DomainDataset([[("", 10, 0), ("", 9, 0)], [("", 2, 1)]]).pids == [2, 9, 10]
    assert DomainDataset([[("", 1, 0), ("", "anna", None)]]).pids == ["anna", "source0_1"]
    assert DomainDataset([[("", "own_test_-1", 0), ("", "own_test_1", 0), ("", "", 0)]]).pids == [
        "own_test_1"
    ]  # combine_all's


def test_arguments_reach_the_readers(tiny):
    assert len(build_reid_train_loader(tiny(), combineall=True).dataset) > len(build_reid_train_loader(tiny()).dataset)
