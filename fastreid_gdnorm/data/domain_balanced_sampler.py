"""Batches with the same number of identities of every source."""

from collections import defaultdict, deque
from itertools import cycle, islice

import numpy as np
from fastreid.utils import comm
from torch.utils.data import Sampler

from ..errors import UserError


class DomainBalancedIdentitySampler(Sampler):
    """An endless stream of image indices: batches of P identities with ``num_instances`` images each.

    Every batch has P // K identities of each of the K domains; the P % K odd ones rotate, so that over K batches
    all domains are equal. Within a domain every identity has its turn before any has a second. An identity's
    images are all different as far as they go, those of other cameras than the first one's before the others, and
    repeat only then. A batch is ordered by domain.

    With several ranks each draws the same batches and keeps its own identities, so that none is on two ranks.

    Args:
        items: the training set's (image path, pid, camera id).
        domains: their domains, numbers from 0.
        batch_size: images in the batch of one rank, P * num_instances.
        num_instances: images of an identity in a batch.
        seed: the stream depends on it and the arguments alone, on all ranks the same.
        rank, world_size: this process and the number of processes.

    Raises:
        UserError: no such batch can be made.
    """

    def __init__(self, items, domains, batch_size, num_instances, seed, rank=0, world_size=1):
        self._cameras = [camera for _, _, camera in items]
        self._images = defaultdict(list)  # (domain, pid): indices
        for index, ((_, pid, _), domain) in enumerate(zip(items, domains)):
            self._images[domain, pid].append(index)
        self._identities = defaultdict(list)  # domain: its (domain, pid)
        for identity in sorted(self._images):
            self._identities[identity[0]].append(identity)

        self._num_domains = max(domains) + 1
        self._num_identities = batch_size // num_instances
        self._num_instances = num_instances
        self._seed = seed
        self._rank = rank
        self._world_size = world_size
        self._check(batch_size)

    @classmethod
    def from_config(cls, cfg, train_set):
        """For DATALOADER.SAMPLER_TRAIN; ``train_set`` is a DomainDataset."""
        return cls(
            train_set.img_items,
            train_set.domains,
            cfg.SOLVER.IMS_PER_BATCH // comm.get_world_size(),
            cfg.DATALOADER.NUM_INSTANCE,
            seed=comm.shared_random_seed(),
            rank=comm.get_rank(),
            world_size=comm.get_world_size(),
        )

    def __iter__(self):
        rng = np.random.default_rng(self._seed)
        turns = {domain: deque() for domain in range(self._num_domains)}
        step = 0
        while True:
            for domain, quota in enumerate(self._quotas(step)):
                drawn = self._next_identities(rng, domain, turns[domain], quota * self._world_size)
                instances = [self._instances(rng, identity) for identity in drawn]
                for indices in instances[self._rank * quota : (self._rank + 1) * quota]:
                    yield from indices
            step += 1

    def _quotas(self, step):
        """Identities of every domain in the batch number ``step``."""
        every, odd = divmod(self._num_identities, self._num_domains)
        quotas = [every] * self._num_domains
        for i in range(odd):
            quotas[(step * odd + i) % self._num_domains] += 1
        return quotas

    def _next_identities(self, rng, domain, turn, count):
        """The next ``count`` different identities in turn."""
        drawn = []
        while len(drawn) < count:
            if not turn:
                identities = self._identities[domain]
                again = [identities[i] for i in rng.permutation(len(identities))]
                turn.extend(sorted(again, key=drawn.__contains__))  # a stable sort: who is drawn already goes last
            drawn.append(turn.popleft())
        return drawn

    def _instances(self, rng, identity):
        images = rng.permutation(self._images[identity]).tolist()
        camera = self._cameras[images[0]]
        first, *same = [image for image in images if self._cameras[image] == camera]
        others = [image for image in images if self._cameras[image] != camera]
        return list(islice(cycle([first, *others, *same]), self._num_instances))

    def _check(self, batch_size):
        batch = f"SOLVER.IMS_PER_BATCH / DATALOADER.NUM_INSTANCE = {batch_size} / {self._num_instances} (a process)"
        if batch_size % self._num_instances:
            raise UserError(f"{batch} is not a whole number of identities")
        if self._num_identities < self._num_domains:
            raise UserError(
                f"{batch} makes {self._num_identities} identities a batch, fewer than the {self._num_domains} sources"
            )
        for domain in range(self._num_domains):
            needed = max(self._quotas(step)[domain] for step in range(self._num_domains)) * self._world_size
            if len(self._identities[domain]) < needed:
                raise UserError(
                    f"{batch} needs {needed} identities of each source in a batch, "
                    f"source {domain} has {len(self._identities[domain])}"
                )
