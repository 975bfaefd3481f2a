"""How fast are the plugin's training sampler and loader, compared with fast-reid's own?

    python projects/GDNorm/benchmarks/speed/loading.py [--output FILE.json]

The samplers draw from lists as long as those of Protocol-1 and of the demo. The stock sampler gets faster as fewer
identities are left. Each round therefore continues where the last one stopped, so that a whole pass through the data is
measured. The loaders read the same rendered images in the same order, without worker processes. It takes about 2
minutes on two cores.
"""

import contextlib
import importlib
import os
import sys
import tempfile
from itertools import islice
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import torchvision

import fastreid_gdnorm  # noqa: F401  patches fastreid before it is imported

# isort: split
from benchmarks.shared.measure import arguments, finish, interleave, row
from fastreid.data import CommDataset, build, build_reid_train_loader
from fastreid.data.samplers import NaiveIdentitySampler
from fastreid.data.transforms import build as transforms_build
from fastreid.data.transforms import build_transforms

from fastreid_gdnorm.data import DomainBalancedIdentitySampler, DomainDataset, read_sources
from fastreid_gdnorm.demo import CONFIGS
from fastreid_gdnorm.integration.loaders import stock_collate
from fastreid_gdnorm.runs.run_config import load_config

PAPER, DEMO = "configs/Base-GDNorm.yml", f"{CONFIGS}/gdnorm.yml"
PROTOCOL1 = {  # identities, images, cameras
    "Market1501": (1501, 29419, 6),
    "CUHK02": (1816, 7264, 10),
    "CUHK03": (1467, 14097, 2),
    "DukeMTMC": (1812, 36411, 8),
    "CUHK-SYSU": (11934, 34574, 1),
}
RENDERED = dict.fromkeys(("RenderedStreet", "RenderedMall", "RenderedCampus"), (60, 480, 4))
SIZES = ([64, 32], [256, 128], [384, 128])
DRAWN, LOADED = 200, 4  # batches in a round


def sampler_row(size, domains, cfg, args):
    sources = [items_of(name, *counts) for name, counts in domains.items()]
    train_set = DomainDataset(sources)
    images, instances = cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE
    own = iter(DomainBalancedIdentitySampler.from_config(cfg, train_set))
    stock = iter(NaiveIdentitySampler(train_set.img_items, images, instances))
    draw = {
        "own": lambda: list(islice(own, DRAWN * images)),
        "stock": lambda: list(islice(stock, DRAWN * images)),
    }
    seconds = interleave(draw, args.repeats)
    what = f"DomainBalancedIdentitySampler, {size}, K = {len(sources)}, batch {images} by {instances}"
    return per_batch(row(what, "NaiveIdentitySampler", "<= 1.00", seconds, "own", "stock"), DRAWN)


def items_of(name, identities, images, cameras):
    """A training list like those of fast-reid's readers, with equally many images of each identity."""
    return [
        (f"{name}/{i}.jpg", f"{name}_{i % identities}", f"{name}_c{i // identities % cameras}") for i in range(images)
    ]


def loader_row(cfg, args):
    sources = read_sources(cfg)
    sampler = DomainBalancedIdentitySampler.from_config(cfg, DomainDataset(sources))
    order = list(islice(sampler, LOADED * cfg.SOLVER.IMS_PER_BATCH))
    own = build_reid_train_loader(cfg, sampler=order)
    with stock_images():
        stock_set = CommDataset([item for items in sources for item in items], build_transforms(cfg, is_train=True))
        stock = build_reid_train_loader(cfg, sampler=order, train_set=stock_set)

    def read_stock():
        with stock_images():
            return list(stock)

    read = {"own": lambda: list(own), "stock": read_stock}
    seconds = interleave(read, args.repeats, args.device)
    what = f"train loader, batch {cfg.SOLVER.IMS_PER_BATCH} at {'x'.join(map(str, cfg.INPUT.SIZE_TRAIN))}"
    return per_batch(row(what, "stock's", "<= 0.60", seconds, "own", "stock"), LOADED)


@contextlib.contextmanager
def stock_images():
    """Let fast-reid jitter images and make tensors and batches with stock functions."""
    functional, transforms = (
        importlib.import_module(f"fastreid.data.transforms.{name}") for name in ("functional", "transforms")
    )
    jitter = mock.patch.object(transforms_build, "T", torchvision.transforms)
    collator = mock.patch.object(build, "fast_batch_collator", stock_collate)
    to_tensor = mock.patch.object(transforms, "to_tensor", functional.to_tensor.__wrapped__)
    with jitter, collator, to_tensor:
        yield


def per_batch(line, batches):
    return {**line, "ms a batch": round(1000 * line["seconds"] / batches, 3)}


def main():
    args = arguments(__doc__, repeats=7)
    rendered = ["DATASETS.NAMES", str(tuple(RENDERED)), "DATALOADER.NUM_WORKERS", 0, "MODEL.DEVICE", args.device]
    rows = [
        sampler_row("Protocol-1's size", PROTOCOL1, load_config(PAPER), args),
        sampler_row("the demo's size", RENDERED, load_config(DEMO), args),
    ]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FASTREID_DATASETS"] = folder
        rows += [loader_row(load_config(PAPER, [*rendered, "INPUT.SIZE_TRAIN", size]), args) for size in SIZES]
    finish("Sampling and loading", rows, args)


if __name__ == "__main__":
    main()
