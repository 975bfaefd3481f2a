"""Batches with equally many identities of every source."""

from __future__ import annotations

import logging
import statistics
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np
from fastreid.config import CfgNode
from fastreid.utils import comm
from torch.utils.data import Sampler

from ..errors import UserError
from .domain_dataset import DomainDataset
from .identities import Item

logger = logging.getLogger("fastreid.gdnorm.sampler")

# Per domain and batch. A branch with a frozen beta, as in the neck, outputs features whose mean is zero. With a single
# identity, its mean logits are zero too, and its loss never falls below the logarithm of the number of classes.
MIN_IDENTITIES = 2

Identity = tuple[int, Any]  # domain, pid


class DomainBalancedIdentitySampler(Sampler[int]):
    """An endless stream of image indices: batches of P identities with ``num_instances`` images each.

    Every batch has P // K identities of each of the K domains, at least 2. The remaining P % K rotate, so that over K
    batches all domains have equally many. With ``full``, a batch has P identities of each domain, K * P in total.
    Within a domain, every identity has a turn before any has a second one. The images of an identity repeat only when
    all were used; after the first image, those of other cameras come first. A batch is ordered by domain.

    With several ranks, all ranks sample the batch that a single rank would, and each keeps an equal share of the
    identities, dealt out in turn. No identity is on two ranks.

    Args:
        items: (image path, pid, camera id) of the training set.
        domains: the domain of each item, from 0.
        batch_size: P * num_instances: the number of images in a batch over all ranks; with ``full``, of one domain.
        num_instances: images per identity in a batch.
        seed: determines the stream, together with the other arguments. It must be the same on all ranks.
        rank, world_size: the number of this process, and how many there are.
        full: whether every domain gets a full batch.
        synchronized: whether branches share their statistics over all ranks, so that a rank may lack a domain.
        sources: the names of the domains. A named domain without images is an error.

    Raises:
        UserError: such batches are impossible.
    """

    def __init__(
        self,
        items: Sequence[Item],
        domains: Sequence[int],
        batch_size: int,
        num_instances: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        full: bool = False,
        synchronized: bool = False,
        sources: Sequence[str] = (),
    ) -> None:
        if len(domains) != len(items):
            raise ValueError(f"got {len(domains)} domains for {len(items)} items")
        if batch_size < 1 or num_instances < 1:
            raise UserError(
                "SOLVER.IMS_PER_BATCH and DATALOADER.NUM_INSTANCE must be 1 or more; got "
                f"{batch_size} and {num_instances}"
            )
        self._cameras = [item[2] for item in items]
        self._images: dict[Identity, list[int]] = defaultdict(list)  # (domain, pid): indices
        for index, (item, domain) in enumerate(zip(items, domains)):
            self._images[domain, item[1]].append(index)
        self._identities: dict[int, list[Identity]] = defaultdict(list)  # domain: its (domain, pid)
        for identity in sorted(self._images):
            self._identities[identity[0]].append(identity)

        self._sources = sources
        self._num_domains = max([len(sources) - 1, *domains]) + 1
        self._num_identities = batch_size // num_instances
        self._num_instances = num_instances
        self._seed = seed
        self._rank = rank
        self._world_size = world_size
        self._full = full
        self._synchronized = synchronized
        self._check(batch_size)

    @classmethod
    def from_config(cls, cfg: CfgNode, train_set: DomainDataset) -> DomainBalancedIdentitySampler:
        """The sampler for a config with DATALOADER.SAMPLER_TRAIN DomainBalancedIdentitySampler."""
        sampler = cls(
            train_set.img_items,
            train_set.domains,
            cfg.SOLVER.IMS_PER_BATCH,
            cfg.DATALOADER.NUM_INSTANCE,
            seed=comm.shared_random_seed(),
            rank=comm.get_rank(),
            world_size=comm.get_world_size(),
            full=cfg.DATALOADER.DOMAIN_BATCH == "full",
            synchronized=cfg.MODEL.BACKBONE.NORM == cfg.MODEL.HEADS.NORM == "syncBN",
            sources=cfg.DATASETS.NAMES,
        )
        sampler.warn_of_copies(cfg.DATASETS.NAMES)
        return sampler

    def warn_of_copies(self, names: Sequence[str]) -> None:
        """Warn about domains where a smaller num_instances would repeat fewer images; ``names`` are the domains'."""
        for domain, name in enumerate(names):
            images = int(statistics.median(len(self._images[identity]) for identity in self._identities[domain]))
            copies, smaller = self._num_instances - images, self._fitting_instances(2 * images)
            if copies > images and smaller:
                logger.warning(
                    "DATALOADER.NUM_INSTANCE is %d, but half of the identities of %s have %d images or fewer, so "
                    "batches repeat them: NUM_INSTANCE %d repeats fewer",
                    *(self._num_instances, name, images, smaller),
                )

    def reseed(self, seed: int) -> None:
        """Start the stream of ``seed`` at the next iteration."""
        self._seed = seed

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng(self._seed)
        turns: dict[int, deque[Identity]] = {domain: deque() for domain in range(self._num_domains)}
        step = 0
        while True:
            batch: list[list[int]] = []
            for domain, quota in enumerate(self._quotas(step)):
                drawn = self._next_identities(rng, domain, turns[domain], quota)
                batch += [self._instances(rng, identity) for identity in drawn]
            for indices in batch[self._rank :: self._world_size]:
                yield from indices
            step += 1

    def _quotas(self, step: int) -> list[int]:
        """How many identities each domain has in batch number ``step``."""
        if self._full:
            return [self._num_identities] * self._num_domains
        each, rest = divmod(self._num_identities, self._num_domains)
        quotas = [each] * self._num_domains
        for i in range(rest):
            quotas[(step * rest + i) % self._num_domains] += 1
        return quotas

    def _next_identities(
        self, rng: np.random.Generator, domain: int, turn: deque[Identity], count: int
    ) -> list[Identity]:
        """The next ``count`` identities in turn, all different."""
        drawn: list[Identity] = []
        while len(drawn) < count:
            if not turn:
                identities = self._identities[domain]
                again = [identities[i] for i in rng.permutation(len(identities))]
                turn.extend(sorted(again, key=drawn.__contains__))  # stable: those already drawn go last
            drawn.append(turn.popleft())
        return drawn

    def _instances(self, rng: np.random.Generator, identity: Identity) -> list[int]:
        images = rng.permutation(self._images[identity]).tolist()
        camera = self._cameras[images[0]]
        first, *same = [image for image in images if self._cameras[image] == camera]
        others = [image for image in images if self._cameras[image] != camera]
        return list(islice(cycle([first, *others, *same]), self._num_instances))

    def _needed_identities(self) -> int:
        """The smallest allowed number of identities in a batch."""
        return MIN_IDENTITIES * (1 if self._full else self._num_domains) * self._ranks_to_fill

    def _fitting_instances(self, most: int) -> int | None:
        """The largest num_instances from 2 to ``most`` that works with batch_size, or None."""
        size = self._num_identities * self._num_instances
        available = min(map(len, self._identities.values())) * (1 if self._full else self._num_domains)
        fewest = self._needed_identities()
        fit = (n for n in range(most, 1, -1) if size % (n * self._world_size) == 0 and fewest <= size // n <= available)
        return next(fit, None)

    def _name(self, domain: int) -> str:
        return f"source {domain} ({self._sources[domain]})" if domain < len(self._sources) else f"source {domain}"

    @property
    def _ranks_to_fill(self) -> int:
        """How many ranks each need enough identities of every domain."""
        return 1 if self._synchronized else self._world_size

    def _check(self, batch_size: int) -> None:
        empty = [self._name(domain) for domain in range(self._num_domains) if not self._identities[domain]]
        if empty or not self._num_domains:
            raise UserError(f"DATASETS.NAMES: {', '.join(empty) or 'the training set'} has no training images")
        batch = f"SOLVER.IMS_PER_BATCH / DATALOADER.NUM_INSTANCE = {batch_size} / {self._num_instances}"
        if batch_size % self._num_instances:
            raise UserError(f"{batch} is not a whole number of identities: make IMS_PER_BATCH a multiple")
        if self._num_identities % self._world_size:
            raise UserError(f"{batch} identities cannot be split equally among {self._world_size} processes")
        fewest = min(self._quotas(step=0)) // self._ranks_to_fill
        if fewest < MIN_IDENTITIES:
            smaller = self._fitting_instances(self._num_instances)
            larger = self._needed_identities() * self._num_instances
            raise UserError(
                f"{batch} gives one of the {self._num_domains} sources {fewest} identities in a batch"
                f"{f' on each of {self._ranks_to_fill} processes' if self._ranks_to_fill > 1 else ''}, but a branch "
                f"needs {MIN_IDENTITIES}: set "
                + (f"DATALOADER.NUM_INSTANCE {smaller} or " if smaller else "")
                + f"SOLVER.IMS_PER_BATCH {larger}"
                + (", or MODEL.BACKBONE.NORM syncBN MODEL.HEADS.NORM syncBN" if self._ranks_to_fill > 1 else "")
            )
        for domain in range(self._num_domains):
            needed = max(self._quotas(step)[domain] for step in range(self._num_domains))
            if len(self._identities[domain]) < needed:
                raise UserError(
                    f"{batch} needs {needed} identities of each source in a batch, "
                    f"but {self._name(domain)} has {len(self._identities[domain])}"
                )
