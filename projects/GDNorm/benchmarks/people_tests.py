"""Tests of one model on domains of people, along many paths, with what a camera's unlabelled images add to each.

Every result has the mAP of REPLICATES bootstrap resamples of the target's people, the same for all models: differences
between two results are paired, and their interval is that of the replicates' differences.
"""

import zlib
from collections import defaultdict
from functools import partial

import numpy as np
import torch
from fastreid.engine import DefaultTrainer
from posterior import Target, Tests

from fastreid_gdnorm import CameraOffsets
from fastreid_gdnorm.data import read
from fastreid_gdnorm.evaluation import build_dist, evaluate_rank
from fastreid_gdnorm.evaluation.kept_images import KeptImages
from fastreid_gdnorm.modeling.chosen_paths import CameraPaths, camera_label

REPLICATES = 50
MEANS = ("mean:affine", "mean:statistics", "mean:path")


class PeopleTarget(Target):
    """A data set to test on; the images of its site are of other people: those of read_site, or its training set's."""

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
        self._cameras = [
            camera_label(path, camid)
            for batch in batches
            for path, camid in zip(batch["img_paths"], batch["camids"].tolist())
        ]
        data = read(cfg, name)
        self._items = data.read_site() if hasattr(data, "read_site") else data.train
        self._people, self._of_person = np.unique(self._pids[: self._num_query], return_inverse=True)
        rng = np.random.default_rng(self._seed)
        self._drawn = rng.multinomial(len(self._people), [1 / len(self._people)] * len(self._people), REPLICATES)

    def __call__(self, model, offsets=None):
        """Metrics of a model, of features that ``offsets`` takes with their cameras, if it is given."""
        features = self.features(model)
        return self.metrics(features if offsets is None else offsets(features, self._cameras))

    @torch.no_grad()
    def features(self, model):
        """(N, D) of queries and gallery, of length 1."""
        model.eval()
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

    def site(self, n, draw=0):
        """{camera: n of its images (n, 3, H, W)}, or as many as it has."""
        items = defaultdict(list)
        for item in self._items:
            items[camera_label(item[0], item[2])].append(item)
        return {camera: self._read(self._some(own, n, draw)) for camera, own in sorted(items.items())}


class PeopleTests(Tests):
    """The tests of a run on targets, whose images stay in memory for all runs."""

    kept = {}

    def of_targets(self, names, sizes, paths=MEANS):
        """Along the paths, and by n images of each camera of the site for every n of ``sizes``."""
        for name in names:
            test = self._target(name)
            if self._stock is not None:
                self._record(test, "as trained", partial(test, self._stock))
            for path in () if self._stock is not None else paths:
                self._record(test, path, partial(self._fixed_along, test, path))
            for n in sizes:
                self._record(test, "posterior of each camera", partial(self._of_cameras, test, n), n)
                both = partial(self._of_cameras, test, n, "shrunk")
                self._record(test, "posterior of each camera, shrunk offsets", both, n)
                for path in paths if self._stock is None else ("as trained",):
                    for weigh in OFFSETS:
                        by_offsets = partial(self._by_offsets, test, path, n, weigh)
                        self._record(test, f"{path}, {weigh} offsets", by_offsets, n)

    def _fixed_along(self, test, path):
        return self._along(test, *self._fixed(path))

    def _target(self, name):
        key = name, tuple(self._cfg.INPUT.SIZE_TEST)
        if key not in self.kept:
            self.kept[key] = PeopleTarget(self._cfg, name)
        return self.kept[key]

    def _of_cameras(self, test, n, weigh=""):
        """Along each camera's posterior path; with ``weigh``, offsets of the features along it are taken off, too."""
        site = test.site(n)
        paths = {camera: self._posterior(images) for camera, images in site.items()}
        self._model.test_paths = (CameraPaths(paths, self._posterior(torch.cat([*site.values()]))),)
        return self._with_offsets(self._model, test, site, weigh) if weigh else test(self._model)

    def _by_offsets(self, test, path, n, weigh):
        if self._stock is None:
            self._model.test_paths = self._fixed(path)
        return self._with_offsets(self._stock or self._model, test, test.site(n), weigh)

    @torch.no_grad()
    def _with_offsets(self, model, test, site, weigh):
        model.eval()
        features, cameras = [], []
        for camera, images in site.items():
            found = model({"images": images.clone(), "cameras": [camera] * len(images)})
            features.append(torch.nn.functional.normalize(found.float().cpu()).numpy())
            cameras += [camera] * len(images)
        return test(model, OFFSETS[weigh](np.concatenate(features), cameras))


def raw_offsets(features, cameras):
    """As CameraOffsets.from_features, with each camera's mean as it is."""
    cameras = np.array(cameras)
    means = {camera: features[cameras == camera].mean(0) for camera in cameras}

    def apply(of, their_cameras):
        moved = of - np.stack([means[camera] for camera in their_cameras])
        return moved / np.linalg.norm(moved, axis=1, keepdims=True)

    return apply


OFFSETS = {"raw": raw_offsets, "shrunk": CameraOffsets.from_features}
