"""``domains`` in every training batch, with every sampler and through worker processes."""

from itertools import islice

import pytest
from fastreid.data import build_reid_train_loader

SAMPLERS = ["DomainBalancedIdentitySampler", "NaiveIdentitySampler", "BalancedIdentitySampler", "TrainingSampler"]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_images_domain_is_the_place_of_its_data_set(tiny, sampler, workers):
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


def test_the_readers_arguments_reach_them(tiny):
    assert len(build_reid_train_loader(tiny(), combineall=True).dataset) > len(build_reid_train_loader(tiny()).dataset)
