"""Splitting a training batch: a dict of tensors and lists with an entry for each image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..layers.distributed import broadcast_from_rank0, gather_rows, num_processes

Batch = dict[str, Any]  # tensors and lists with an entry for each image


def by_domain(batch: Batch) -> list[Batch]:
    """Split a batch into one for each domain, in the order of the domains."""
    domains = batch["domains"]
    return [_select(batch, torch.nonzero(domains == k).flatten()) for k in torch.unique(domains).tolist()]


def balanced(batch: Batch) -> Batch:
    """Reduce a batch that holds a full batch of every domain to the size of one, with equal parts of the domains.

    Whole identities are chosen. If their number is not divisible by that of the domains, the domains that contribute
    one more are chosen at random each time, with torch's global generator. With several processes, identities are
    chosen from the batches of all processes, and each process keeps its own images of them. Each domain's choice starts
    where that of the previous domain ended, so the processes keep equally many identities, to within one.
    """
    identities: dict[int, list[int]] = {}  # domain: its identities, in order
    for domain, identity in dict.fromkeys(_identities(batch)):
        identities.setdefault(domain, []).append(identity)
    each, rest = divmod(max(map(len, identities.values())), len(identities))
    order = torch.randperm(len(identities)).to(batch["targets"].device)
    broadcast_from_rank0([order])
    with_one_more = order[:rest].tolist()
    chosen: set[int] = set()
    for index, of_domain in enumerate(identities.values()):
        begin = len(chosen) % len(of_domain)
        chosen.update([*of_domain[begin:], *of_domain[:begin]][: each + (index in with_one_more)])
    rows = [row for row, identity in enumerate(batch["targets"].tolist()) if identity in chosen]
    return _select(batch, torch.tensor(rows, device=batch["targets"].device, dtype=torch.long))


def _identities(batch: Batch) -> list[tuple[int, int]]:
    """(domain, identity) over all processes' batches, in the order in which the sampler dealt them out."""
    own = torch.stack((batch["domains"], batch["targets"]), 1)
    own = own[torch.cat([own.new_ones(1, dtype=torch.bool), (own[1:] != own[:-1]).any(1)])]
    of_ranks = gather_rows(own).unflatten(0, (num_processes(), -1))  # all have equally many
    return [tuple(pair) for pair in of_ranks.transpose(0, 1).flatten(0, 1).tolist()]


def copy_images(batch: Batch | Tensor, memory_format: torch.memory_format = torch.preserve_format) -> Batch | Tensor:
    """Copy a batch, a dict or just images (B, C, H, W); of a dict, copy only the images."""
    if isinstance(batch, torch.Tensor):
        return batch.clone(memory_format=memory_format)
    return {**batch, "images": batch["images"].clone(memory_format=memory_format)}


def _select(batch: Batch, rows: Tensor) -> Batch:
    return {
        key: values[rows] if isinstance(values, torch.Tensor) else [values[row] for row in rows.tolist()]
        for key, values in batch.items()
    }
