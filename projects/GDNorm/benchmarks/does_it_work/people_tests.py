"""Tests one model on domains of people along many paths, with and without a camera's unlabelled images.

Every result includes the mAP of REPLICATES bootstrap resamples of the target's people. All models share the resamples,
so that differences between two results are paired; their interval is that of the replicates' differences.
"""

import itertools
import zlib
from collections import defaultdict
from functools import cached_property, partial

import numpy as np
import torch
from benchmarks.adapting.posterior_tests import Target, Tests
from fastreid.engine import DefaultTrainer

from fastreid_gdnorm import CameraOffsets
from fastreid_gdnorm.data import read
from fastreid_gdnorm.evaluation import build_dist, evaluate_rank
from fastreid_gdnorm.evaluation.kept_images import KeptImages
from fastreid_gdnorm.modeling.chosen_paths import CameraPaths, camera_label

REPLICATES = 50
MEANS = ("mean:affine", "mean:statistics", "mean:path")


class PeopleTarget(Target):
    """A data set to test on. Its site's images show other people: those of read_site, or of its training set."""

    def __init__(self, cfg, name):
        self.domain = name
        self._seed = zlib.crc32(name.encode())
        self._device = torch.device(cfg.MODEL.DEVICE)
        self._size = cfg.INPUT.SIZE_TEST
        loader, self._num_query = DefaultTrainer.build_test_loader(cfg, name)
        self._kept = KeptImages(loader, self._device)
        batches = list(self._kept)
        self._pids = torch.cat([batch["targets"] for batch in batches]).numpy()
        self._camids = torch.cat([batch["camids"] for batch in batches]).numpy()
        self.cameras = [
            camera_label(path, camid)
            for batch in batches
            for path, camid in zip(batch["img_paths"], batch["camids"].tolist())
        ]
        data = read(cfg, name)
        self._items = data.read_site() if hasattr(data, "read_site") else data.train
        self._people, self._of_person = np.unique(self._pids[: self._num_query], return_inverse=True)
        rng = np.random.default_rng(self._seed)
        self._drawn = rng.multinomial(len(self._people), [1 / len(self._people)] * len(self._people), REPLICATES)

    @torch.no_grad()
    def features(self, model):
        """Features (N, D) of queries and gallery, of length 1, by a model in eval mode."""
        found = torch.cat([model(batch).float().cpu() for batch in self._kept])
        return torch.nn.functional.normalize(found).numpy()

    def metrics(self, features):
        n, features = self._num_query, torch.from_numpy(np.ascontiguousarray(features, np.float32))
        distances = build_dist(features[:n], features[n:], "cosine")
        ids = self._pids[:n], self._pids[n:], self._camids[:n], self._camids[n:]
        cmc, ap, _ = evaluate_rank(distances, *ids)
        assert len(ap) == n, "a query has no match"
        sums, counts = np.bincount(self._of_person, ap), np.bincount(self._of_person)
        resampled = 100 * (self._drawn @ sums) / (self._drawn @ counts)
        return {"mAP": 100 * ap.mean(), "Rank-1": 100 * float(cmc[0]), "resampled": resampled.round(3).tolist()}

    def site(self, n):
        """{camera: n of its images (n, 3, H, W)}, or all if it has fewer."""
        items = defaultdict(list)
        for item in self._items:
            items[camera_label(item[0], item[2])].append(item)
        return {camera: self._read(self._some(own, n, 0)) for camera, own in sorted(items.items())}


class Followed:
    """A model's features of a target, extracted once, along the paths that ``choose`` returns if it is given."""

    def __init__(self, target, model, choose=None):
        self._target, self._model, self._choose = target, model, choose

    def metrics(self):
        return self._target.metrics(self._features)

    @torch.no_grad()
    def metrics_with_offsets(self, n, weigh):
        """Metrics with offsets from n images of each of the site's cameras."""
        model, features, cameras = self._followed, [], []
        for camera, images in self._target.site(n).items():
            found = model({"images": images.clone(), "cameras": [camera] * len(images)})
            features.append(torch.nn.functional.normalize(found.float().cpu()).numpy())
            cameras += [camera] * len(images)
        offsets = OFFSETS[weigh](np.concatenate(features), cameras)
        return self._target.metrics(offsets(self._features, self._target.cameras))

    @cached_property
    def _paths(self):
        return self._choose()

    @property
    def _followed(self):
        """The model in eval mode, following the paths."""
        if self._choose:
            self._model.test_paths = self._paths
        return self._model.eval()

    @cached_property
    def _features(self):
        return self._target.features(self._followed)


class PeopleTests(Tests):
    """Tests a run on targets. The targets' images stay in memory for all runs."""

    kept = {}

    def of_targets(self, names, sizes, paths=MEANS):
        """Test along the paths, and adapted to n images of each of the site's cameras for every n in ``sizes``."""
        for name in names:
            target = self._target(name)
            for path in paths if self._stock is None else ("as trained",):
                choose = partial(self._fixed, path) if self._stock is None else None
                followed = Followed(target, self._stock or self._model, choose)
                self._record(target, path, followed.metrics)
                for n, weigh in itertools.product(sizes, OFFSETS):
                    by_offsets = partial(followed.metrics_with_offsets, n, weigh)
                    self._record(target, f"{path}, {weigh} offsets", by_offsets, n)
            for n in sizes:
                followed = Followed(target, self._model, partial(self._of_cameras, target, n))
                self._record(target, "posterior of each camera", followed.metrics, n)
                both = partial(followed.metrics_with_offsets, n, "shrunk")
                self._record(target, "posterior of each camera, shrunk offsets", both, n)

    def _target(self, name):
        key = name, tuple(self._cfg.INPUT.SIZE_TEST)
        if key not in self.kept:
            self.kept[key] = PeopleTarget(self._cfg, name)
        return self.kept[key]

    def _of_cameras(self, target, n):
        """The posterior path of each camera."""
        site = target.site(n)
        paths = {camera: self._posterior(images) for camera, images in site.items()}
        return (CameraPaths(paths, self._posterior(torch.cat([*site.values()]))),)


def raw_offsets(features, cameras):
    """Like CameraOffsets.from_features, but without shrinking the cameras' means."""
    cameras = np.array(cameras)
    means = {camera: features[cameras == camera].mean(0) for camera in cameras}

    def apply(of, their_cameras):
        moved = of - np.stack([means[camera] for camera in their_cameras])
        return moved / np.linalg.norm(moved, axis=1, keepdims=True)

    return apply


OFFSETS = {"raw": raw_offsets, "shrunk": CameraOffsets.from_features}
