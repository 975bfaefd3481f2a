"""What does the posterior path gain on unseen synthetic domains? Writes results/posterior.md and posterior.png.

    python projects/GDNorm/benchmarks/adapting/posterior.py --output logs/posterior

Trains three of the demo's methods with three seeds at equal image passes and tests them on eight synthetic domains. It
adapts to images of people who are not in the test. Finished trainings and tests are kept; an interrupted run resumes.
"""

import argparse
import json
import logging
import sys
import zlib
from collections import defaultdict
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import fastreid_gdnorm  # noqa: F401  before fastreid, which it patches

# isort: split

import numpy as np
import torch
from benchmarks.adapting.posterior_guards import guards
from benchmarks.adapting.posterior_page import write_page
from fastreid.data.datasets import DATASET_REGISTRY
from torchvision.transforms.functional import pil_to_tensor
from tqdm import tqdm

from fastreid_gdnorm.data import datasets_root, read
from fastreid_gdnorm.demo import CONFIGS
from fastreid_gdnorm.evaluation.kept_images import KeptTest
from fastreid_gdnorm.image_loading import read_picture
from fastreid_gdnorm.layers import MeanPath, PooledPath, PosteriorPath, forward_along, gdnorm_layers
from fastreid_gdnorm.layers.eval_mode import evaluating
from fastreid_gdnorm.modeling import branched
from fastreid_gdnorm.modeling.chosen_paths import CameraPaths, camera_label
from fastreid_gdnorm.modeling.path_names import parse_test_path
from fastreid_gdnorm.rendered import Plan, drawn_domain
from fastreid_gdnorm.runs.experiments import train_row
from fastreid_gdnorm.runs.methods import METHODS
from fastreid_gdnorm.runs.run_checkpoints import load_model
from fastreid_gdnorm.runs.run_config import shipped
from fastreid_gdnorm.runs.run_folder import load_run_config
from fastreid_gdnorm.training.population_statistics import complete_paths

SEEDS = (0, 1, 2)
TARGETS = tuple(range(8, 16))  # seeds of styles that were never used before
DEVELOPMENT = tuple(range(100, 108))  # the guard was chosen on these, with the models of the first seed
PLAN, PREFIX = Plan(train_ids=48, test_ids=60), "RenderedSite"  # the seed follows
DRAWS = {1: 1, 4: 3, 16: 2, 64: 1, 256: 1}  # n: number of random sets of n images
FIXED = ("mean:affine", "mean:statistics", "mean:path", "instance", "weighted", "ensemble")
SITES = {"random": 64, "few images": 4, "one camera": 64, "two people": 16}  # for the guard: kind of images, number


def schedule(epochs, steps):
    """Overrides for a training of ``epochs`` epochs, tested only at its end."""
    at_the_end = f"SOLVER.CHECKPOINT_PERIOD {epochs} TEST.EVAL_PERIOD {epochs}"
    return f"SOLVER.MAX_EPOCH {epochs} SOLVER.STEPS [{steps}] {at_the_end}".split()


# equal image passes: GDNorm passes each image along two paths
ROWS = {"gdnorm": schedule(20, "12,17"), "branches": schedule(40, "25,35"), "baseline": schedule(40, "25,35")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("logs/posterior"), help="default: %(default)s")
    args = parser.parse_args()
    for seed in (*TARGETS, *DEVELOPMENT):
        domain = drawn_domain(seed, PLAN, PREFIX)
        DATASET_REGISTRY.register(domain)
        domain(root=datasets_root())  # draws it unless it exists
    logging.getLogger("fastreid").setLevel(logging.WARNING)
    for seed in SEEDS:
        for method, overrides in ROWS.items():
            run = args.output / f"{method}-{seed}"
            train_row(run, shipped(f"{CONFIGS}/{method}.yml"), seed, overrides).run(f"{METHODS[method]}, seed {seed}")
            with open(run / "posterior.jsonl", "a+") as file:
                tests = Tests(run, file)
                for target in tqdm(TARGETS, f"{METHODS[method]}, seed {seed}", disable=None):
                    tests.paths(target)
                    tests.guard(target)
                for target in DEVELOPMENT if seed == SEEDS[0] else ():
                    tests.guard(target)
    records = [
        {"method": method, "seed": seed, **json.loads(line)}
        for seed in SEEDS
        for method in ROWS
        for line in (args.output / f"{method}-{seed}" / "posterior.jsonl").read_text().splitlines()
    ]
    write_page(records, DEVELOPMENT)


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


if __name__ == "__main__":
    main()
