"""What DomainBalancedIdentitySampler promises of every batch, on random data sets."""

import logging
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from fastreid.layers import get_norm
from hypothesis import given, settings
from hypothesis import strategies as st

from fastreid_gdnorm.data import DomainBalancedIdentitySampler
from fastreid_gdnorm.data.domain_balanced_sampler import MIN_IDENTITIES
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.layers import DomainPath, GDNorm, follow


def make_items(sizes, cameras=3):
    """sizes[domain][identity]: its number of images -> (items, domains), in mixed order."""
    items = [
        (f"d{domain}_p{pid}_{i}.jpg", f"d{domain}_p{pid}", f"d{domain}_c{(i + pid) % cameras}")
        for domain, identities in enumerate(sizes)
        for pid, images in enumerate(identities)
        for i in range(images)
    ]
    items = items[1::2] + items[::2]
    return items, [int(path[1 : path.index("_")]) for path, _, _ in items]


def batches(sampler, size, count):
    stream = iter(sampler)
    return [list(islice(stream, size)) for _ in range(count)]


@st.composite
def settings_of_a_sampler(draw):
    num_domains = draw(st.integers(1, 4))
    world_size = draw(st.integers(1, 3))
    full, synchronized = draw(st.booleans()), draw(st.booleans())
    fewest = 2 * (1 if full else num_domains) * (1 if synchronized else world_size)
    share = draw(st.integers(-(-fewest // world_size), 2 * fewest))
    num_identities = share * world_size
    most = num_identities if full else -(-num_identities // num_domains)
    sizes = draw(
        st.lists(
            st.lists(st.integers(1, 6), min_size=most, max_size=most + 4), min_size=num_domains, max_size=num_domains
        )
    )
    return (
        sizes,
        num_identities,
        draw(st.integers(1, 5)),
        draw(st.integers(0, 2**32 - 1)),
        world_size,
        full,
        synchronized,
    )


@settings(deadline=None, max_examples=60)
@given(settings_of_a_sampler())
def test_every_batch_is_balanced_distinct_and_dealt_out(case):
    sizes, num_identities, num_instances, seed, world_size, full, synchronized = case
    items, domains = make_items(sizes)
    settings = (items, domains, num_identities * num_instances, num_instances, seed)
    if full:
        num_identities *= len(sizes)
    size, count = num_identities * num_instances, 2 * len(sizes)
    ranks = [
        batches(
            DomainBalancedIdentitySampler(*settings, rank, world_size, full, synchronized), size // world_size, count
        )
        for rank in range(world_size)
    ]
    images = Counter(pid for _, pid, _ in items)
    totals = Counter()
    for step, batch in enumerate(batches(DomainBalancedIdentitySampler(*settings, full=full), size, count)):
        batch_domains = [domains[i] for i in batch]
        assert batch_domains == sorted(batch_domains), "a batch is ordered by domain"
        identities = [batch[i : i + num_instances] for i in range(0, size, num_instances)]
        pids = [items[indices[0]][1] for indices in identities]
        assert len(set(pids)) == num_identities, "identities of a batch are different"
        for pid, indices in zip(pids, identities):
            assert {items[i][1] for i in indices} == {pid}
            assert len(set(indices)) == min(num_instances, images[pid]), "all distinct images first"
        quota = Counter(domains[indices[0]] for indices in identities)
        assert max(quota.values()) - min(quota[k] for k in range(len(sizes))) <= (0 if full else 1)
        totals.update(quota)
        for rank in range(world_size):
            own = ranks[rank][step]
            assert own == [i for indices in identities[rank::world_size] for i in indices], (
                "one rank's batch, dealt out"
            )
            shared = Counter(domains[indices[0]] for indices in identities[rank::world_size])
            assert synchronized or min(shared[k] for k in range(len(sizes))) >= 2, "identities to contrast with"
    assert len(set(totals.values())) == 1, "over K batches all sources are equal"


def test_batches_of_128_rotate_over_3_and_5_sources_and_full_batches_are_the_papers():
    for num_domains, instances, full, expected in (
        (3, 16, False, [[3, 3, 2], [3, 2, 3], [2, 3, 3]]),
        (5, 8, False, [[4, 3, 3, 3, 3], [3, 4, 3, 3, 3]]),
        (5, 16, True, [[8] * 5] * 2),
    ):
        items, domains = make_items([[16] * 10] * num_domains)
        sampler = DomainBalancedIdentitySampler(items, domains, 128, instances, seed=0, full=full)
        for batch, quota in zip(batches(sampler, sum(expected[0]) * instances, len(expected)), expected):
            counted = Counter(domains[i] for i in batch)
            assert [counted[k] // instances for k in range(num_domains)] == quota


def test_every_identity_has_its_turn_before_any_has_a_second():
    items, domains = make_items([[3] * 7, [3] * 7])
    turns = Counter()
    for batch in batches(DomainBalancedIdentitySampler(items, domains, 8, 2, seed=5), 8, 21):
        turns.update({items[i][1] for i in batch})
        for domain in ("d0", "d1"):
            taken = [turns[pid] for pid in {pid for _, pid, _ in items} if pid.startswith(domain)]
            assert max(taken) - min(taken) <= 1
    assert set(turns.values()) == {6}


def test_items_can_have_extra_fields():
    items, domains = make_items([[4] * 3] * 2)
    longer = [(*item, "dusk") for item in items]
    streams = [DomainBalancedIdentitySampler(each, domains, 8, 2, seed=5) for each in (items, longer)]
    assert batches(streams[0], 8, 3) == batches(streams[1], 8, 3)


def test_images_of_other_cameras_come_first():
    items = [(image, pid, camera) for pid in "pq" for image, camera in zip("aaaabbc", "0000112")]
    sampler = DomainBalancedIdentitySampler(items, [0] * 14, 6, 3, seed=0)
    for batch in batches(sampler, 3, 200):
        first, *others = [items[i][2] for i in batch]
        assert first not in others


def test_the_stream_depends_on_the_seed_and_not_on_global_random_numbers():
    import random

    items, domains = make_items([[4] * 6] * 3)

    def stream(seed):
        for generator in (random.seed, np.random.seed, torch.manual_seed):
            generator(0)
        drawn = batches(DomainBalancedIdentitySampler(items, domains, 12, 2, seed), 12, 10)
        after = (random.random(), np.random.rand(), torch.rand(1).item())
        for generator in (random.seed, np.random.seed, torch.manual_seed):
            generator(0)
        assert after == (random.random(), np.random.rand(), torch.rand(1).item())
        return drawn

    assert stream(3) == stream(3) != stream(4)


@pytest.mark.parametrize(
    "batch_size, num_instances, said",
    [
        (
            80,
            16,
            r"IMS_PER_BATCH / DATALOADER.NUM_INSTANCE = 80 / 16 .* one of the 3 sources 1 identities in a batch.* "
            "needs 2: set DATALOADER.NUM_INSTANCE 10 or SOLVER.IMS_PER_BATCH 96",
        ),
        (30, 16, "= 30 / 16.*not a whole number of identities"),
        (64, 2, "needs 11 identities of each source in a batch, but source 0 has 6"),
    ],
)
def test_the_error_for_an_impossible_batch_has_the_numbers(batch_size, num_instances, said):
    items, domains = make_items([[4] * 6] * 3)
    with pytest.raises(UserError, match=said):
        DomainBalancedIdentitySampler(items, domains, batch_size, num_instances, seed=0)


@pytest.mark.parametrize("sizes, named", [([6, 6, 0], 2), ([6, 0, 6], 1), ([0, 6, 6], 0)])
def test_a_source_without_images_is_named(sizes, named):
    items, domains = make_items([[4] * identities for identities in sizes])
    with pytest.raises(UserError, match=rf"source {named} \({'abc'[named]}\) has no training images"):
        DomainBalancedIdentitySampler(items, domains, 12, 2, seed=0, sources="abc")
    with pytest.raises(UserError, match="the training set has no training images"):
        DomainBalancedIdentitySampler([], [], 12, 2, seed=0)
    with pytest.raises(UserError, match="NUM_INSTANCE must be 1 or more; got 12 and 0"):
        DomainBalancedIdentitySampler(items, domains, 12, 0, seed=0)


def test_a_full_batch_of_one_identity_is_refused_with_the_numbers_of_a_domain():
    items, domains = make_items([[4] * 6] * 3)
    with pytest.raises(UserError, match="1 identities in a batch, .*NUM_INSTANCE 8 or SOLVER.IMS_PER_BATCH 32"):
        DomainBalancedIdentitySampler(items, domains, 16, 16, seed=0, full=True)


def test_a_branch_learns_from_the_fewest_allowed_identities_but_not_from_one_less():
    """Free features and a free classifier, with the branched neck between them, whose beta is frozen."""

    def loss_of(identities, classes=500):
        generator = torch.Generator().manual_seed(0)
        features = torch.randn(8 * identities, 16, 1, 1, generator=generator).requires_grad_()
        weights = torch.randn(classes, 16, generator=generator).requires_grad_()
        neck = GDNorm(get_norm("BN", 16, bias_freeze=True), 3).train()
        targets = torch.arange(identities).repeat_interleave(8)
        optimizer = torch.optim.Adam([features, weights], lr=0.1)
        for _ in range(300):
            optimizer.zero_grad()
            with follow(neck, DomainPath(torch.ones_like(targets))):
                loss = torch.nn.functional.cross_entropy(neck(features).flatten(1) @ weights.T, targets)
            loss.backward()
            optimizer.step()
        return loss.item()

    assert loss_of(MIN_IDENTITIES) < 0.01 and loss_of(MIN_IDENTITIES - 1) > np.log(500) - 0.01


def test_a_domain_whose_images_repeat_is_named(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)
    items, domains = make_items([[16] * 10, [4] * 10])
    DomainBalancedIdentitySampler(items, domains, 128, 16, seed=0).warn_of_copies(["DGMarket1501", "DGCUHK02"])
    (said,) = {record.getMessage() for record in caplog.records}
    assert "NUM_INSTANCE is 16, but half of the identities of DGCUHK02 have 4 images or fewer" in said
    assert "NUM_INSTANCE 8 repeats fewer" in said
    # no advice if copies are as many as images; 6 does not divide 40; with 120 images, 6 would need too many identities
    for identities, size, instances, advised in (20, 128, 4, None), (20, 40, 8, 5), (9, 120, 8, None):
        items, domains = make_items([[16] * identities, [3] * identities])
        sampler = DomainBalancedIdentitySampler(items, domains, size, instances, seed=0)
        caplog.clear()
        sampler.warn_of_copies(["DGMarket1501", "DGCUHKSYSU"])
        if advised:
            assert f"NUM_INSTANCE {advised} repeats fewer" in caplog.text
            DomainBalancedIdentitySampler(items, domains, size, advised, seed=0)
        else:
            assert not caplog.records
