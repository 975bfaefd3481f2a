"""Tests one model on domains along many paths, with and without unlabelled images of the domain."""

import json
import zlib
from collections import defaultdict
from functools import partial

import numpy as np
import torch
from benchmarks.adapting.posterior_guards import guards
from torchvision.transforms.functional import pil_to_tensor

from fastreid_gdnorm.data import read
from fastreid_gdnorm.evaluation.kept_images import KeptTest
from fastreid_gdnorm.image_loading import read_picture
from fastreid_gdnorm.layers import MeanPath, PooledPath, PosteriorPath, forward_along, gdnorm_layers
from fastreid_gdnorm.layers.eval_mode import evaluating
from fastreid_gdnorm.modeling import branched
from fastreid_gdnorm.modeling.chosen_paths import CameraPaths, camera_label
from fastreid_gdnorm.modeling.path_names import parse_test_path
from fastreid_gdnorm.runs.run_checkpoints import load_model
from fastreid_gdnorm.runs.run_folder import load_run_config
from fastreid_gdnorm.training.population_statistics import complete_paths

PREFIX = "RenderedSite"  # of the synthetic domains' names; the seed follows
DRAWS = {1: 1, 4: 3, 16: 2, 64: 1, 256: 1}  # n: number of random sets of n images
FIXED = ("mean:affine", "mean:statistics", "mean:path", "instance", "weighted", "ensemble")
SITES = {"random": 64, "few images": 4, "one camera": 64, "two people": 16}  # for the guard: kind of images, number


class Tests:
    """Tests one model. Every result is a line of ``file``; results that are there already are not computed again."""

    def __init__(self, run, file, device="cpu"):
        self._open(file)
        cfg = load_run_config(run, device)
        self._stock = None if branched(cfg) is cfg else load_model(cfg)
        self._cfg = branched(cfg)
        self._cfg.MODEL.GDNORM.TEST_PATH = "ensemble"  # so that branches without statistics get them
        self._model = load_model(self._cfg)
        self._instance = parse_test_path("instance", self._cfg)
        self._model.test_paths, self._model.mean_of = [*self._instance, MeanPath("path")], "path"
        complete_paths(self._cfg, self._model)
        self._own = [(layer, layer.path_mean, layer.path_var) for layer in gdnorm_layers(self._model).values()]

    def _open(self, file):
        file.seek(0)
        self._file, self._done = file, {self._key(json.loads(line)) for line in file}

    def paths(self, target):
        """Test every path that needs no image of the target, and those that use n images of it."""
        test = Target(self._cfg, target)
        if self._stock is not None:
            self._record(test, "as trained", lambda: test(self._stock))
        for path in FIXED:
            self._record(test, path, partial(self._fixed_along, test, path))
        for n, draws in DRAWS.items():
            for draw in range(draws):
                images = test.images("random", n, draw)
                self._record(test, "posterior", partial(self._by, self._posterior, test, images), n, draw)
                if n > 1:  # one image has no raw statistics in the neck
                    self._record(test, "raw", partial(self._by, self._raw, test, images), n, draw)
        self._record(test, "by camera", partial(self._by_camera, test), max(DRAWS))

    def guard(self, target):
        """Record the gain and the verdicts of several guards, for images that a site might provide."""
        test = Target(self._cfg, target)
        for site, n in SITES.items():
            self._record(test, f"guard: {site}", partial(self._guards, test, test.images(site, n)), n)

    def _guards(self, test, images):
        path, mean = self._posterior(images), MeanPath()
        test.mean = test.mean or self._along(test, mean)["mAP"]
        gain = self._along(test, path)["mAP"] - test.mean
        return {"gain": gain, **guards(self._model, images, mean, path)}

    def _fixed_along(self, test, path):
        return self._along(test, *self._fixed(path))

    def _fixed(self, path):
        kind, _, mean_of = path.partition(":")
        if kind == "instance":
            return self._instance
        cfg = self._cfg.clone()
        cfg.MODEL.GDNORM.MEAN_OF = mean_of or "affine"
        for layer, mean, var in self._own:
            layer.path_mean, layer.path_var = mean, var  # a raw path may have replaced them
        return parse_test_path(kind, cfg)

    def _posterior(self, images):
        return PosteriorPath.from_images(self._model, images)

    def _raw(self, images):
        """The path of the images' own statistics, in one batch."""
        pooled = PooledPath()
        with evaluating(self._model), torch.no_grad():
            forward_along(self._model, images, pooled)
        pooled.keep()
        return MeanPath("path")

    def _by_camera(self, test):
        paths = {camera: self._posterior(images) for camera, images in test.of_cameras(max(DRAWS)).items()}
        return self._along(test, CameraPaths(paths, self._posterior(test.images("random", max(DRAWS)))))

    def _by(self, make, test, images):
        return self._along(test, make(images))

    def _along(self, test, *paths):
        self._model.test_paths = paths
        return test(self._model)

    def _record(self, test, path, run, n=0, draw=0):
        about = {"target": test.domain, "path": path, "n": n, "draw": draw}
        if self._key(about) not in self._done:
            self._file.write(json.dumps({**about, **run()}) + "\n")
            self._file.flush()

    @staticmethod
    def _key(record):
        return tuple(record[name] for name in ("target", "path", "n", "draw"))


class Target:
    """A domain to test on. Calling it tests a model; its training images are the site's images.

    Args:
        domain: The seed of a synthetic domain, or the name of a data set.
    """

    def __init__(self, cfg, domain):
        self.domain = domain
        is_drawn = isinstance(domain, int)
        name, self._seed = (f"{PREFIX}{domain}", domain) if is_drawn else (domain, zlib.crc32(domain.encode()))
        self._device = torch.device(cfg.MODEL.DEVICE)
        self._test = KeptTest(cfg, name, self._device)
        self._items = read(cfg, name).train
        self._size = cfg.INPUT.SIZE_TEST
        self.mean = None  # mAP of the tested model along its mean path, once known

    def __call__(self, model):
        metrics = self._test(model)
        return {name: metrics[name] for name in ("mAP", "Rank-1")}

    def images(self, site, n, draw=0):
        """n of the images that a site provides (n, 3, H, W), the same for every model."""
        items = list(self._items)
        if site == "one camera":
            items = [item for item in items if item[2] == items[0][2]]
        if site == "two people":
            people = list(dict.fromkeys(item[1] for item in items))[:2]
            items = [item for item in items if item[1] in people]
        return self._read(self._some(items, n, draw))

    def of_cameras(self, n):
        """``images("random", n)`` as {camera: images}."""
        items = defaultdict(list)
        for item in self._some(list(self._items), n, 0):
            items[camera_label(item[0], item[2])].append(item)
        return {camera: self._read(own) for camera, own in items.items()}

    def _some(self, items, n, draw):
        order = np.random.default_rng([self._seed, n, draw]).permutation(len(items))[:n]
        return [items[place] for place in order]

    def _read(self, items):
        pictures = [read_picture(item[0]).resize(self._size[::-1], 3) for item in items]  # 3: bicubic
        return torch.stack([pil_to_tensor(picture) for picture in pictures]).float().to(self._device)
