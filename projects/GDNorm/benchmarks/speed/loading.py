"""How fast are the plugin's training sampler and loader, compared with fast-reid's own?

    python projects/GDNorm/benchmarks/speed/loading.py [--output FILE.json]

The samplers draw from lists as long as those of Protocol-1 and of the demo. The stock sampler gets faster as fewer
identities are left. Each round therefore continues where the last one stopped, so that a whole pass through the data is
measured. The loaders read the same rendered images in the same order, without worker processes. They have one thread,
as in a worker process and in the demo, and keep freed memory, as a training on the CPU does (SOLVER.KEEP_MEMORY). It
takes about 3 minutes on two cores.
"""

import contextlib
import importlib
import itertools
import os
import statistics
import sys
import tempfile
from itertools import islice
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import torch
import torchvision

import fastreid_gdnorm  # noqa: F401  patches fastreid before it is imported

# isort: split
from benchmarks.shared.measure import arguments, finish, interleave, row
from fastreid.data import CommDataset, build, build_reid_train_loader
from fastreid.data.samplers import NaiveIdentitySampler
from fastreid.data.transforms import build as transforms_build
from fastreid.data.transforms import build_transforms
from fastreid.engine import DefaultTrainer
from fastreid.engine.train_loop import SimpleTrainer
from fastreid.utils.events import EventStorage

from fastreid_gdnorm.data import DomainBalancedIdentitySampler, DomainDataset, read_sources
from fastreid_gdnorm.demo import CONFIGS
from fastreid_gdnorm.integration.allocator import keep_memory
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
STEPS = 20  # training steps


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
    own, stock = loaders(cfg, LOADED)

    def read_stock():
        with stock_images():
            return list(stock)

    read = {"own": lambda: list(own), "stock": read_stock}
    seconds = interleave(read, args.repeats, args.device)
    what = f"train loader, batch {cfg.SOLVER.IMS_PER_BATCH} at {'x'.join(map(str, cfg.INPUT.SIZE_TRAIN))}"
    return per_batch(row(what, "stock's", "<= 0.60", seconds, "own", "stock"), LOADED)


def loaders(cfg, batches):
    """The plugin's loader and stock's, of the same images in the same order."""
    sources = read_sources(cfg)
    sampler = DomainBalancedIdentitySampler.from_config(cfg, DomainDataset(sources))
    order = list(islice(sampler, batches * cfg.SOLVER.IMS_PER_BATCH))
    own = build_reid_train_loader(cfg, sampler=order)
    with stock_images():
        stock_set = CommDataset([item for items in sources for item in items], build_transforms(cfg, is_train=True))
        return own, build_reid_train_loader(cfg, sampler=order, train_set=stock_set)


def share_rows(cfg, args):
    """How much of a training step is loading, and whether a worker process hides it."""
    own, stock = map(iter, loaders(cfg, STEPS + 2))
    with_worker = cfg.clone()
    with_worker.merge_from_list(["DATALOADER.NUM_WORKERS", 1])

    def load_stock():
        with stock_images():
            return next(stock)

    parts = {
        "own": lambda: next(own),
        "stock": load_stock,
        "step": training_step(cfg, itertools.repeat(next(own))),
        "step with a worker": training_step(cfg, build_reid_train_loader(with_worker)),
    }
    seconds = interleave(parts, STEPS, args.device)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    own_share, stock_share = (median[name] / (median[name] + median["step"]) for name in ("own", "stock"))
    what = f"the demo's GDNorm, batch {cfg.SOLVER.IMS_PER_BATCH}"
    share = {
        "what": f"loading's share of a step, {what}",
        "against": f"{stock_share:.3f} with stock's",
        "ratio": round(own_share, 3),
        "seconds": round(median["own"], 4),
    }
    hidden = row(f"step, {what}, NUM_WORKERS 1", "images in memory", "<= 1.05", seconds, "step with a worker", "step")
    return [share, hidden]


def training_step(cfg, loader):
    """A function that takes one step of a new network with fast-reid's trainer."""
    model = DefaultTrainer.build_model(cfg)
    trainer = SimpleTrainer(model, loader, *DefaultTrainer.build_optimizer(cfg, model))

    def step():
        with EventStorage():
            trainer.run_step()

    return step


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
    keep_memory()
    torch.set_num_threads(1)
    rendered = ["DATASETS.NAMES", str(tuple(RENDERED)), "DATALOADER.NUM_WORKERS", 0, "MODEL.DEVICE", args.device]
    rows = [
        sampler_row("Protocol-1's size", PROTOCOL1, load_config(PAPER), args),
        sampler_row("the demo's size", RENDERED, load_config(DEMO), args),
    ]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FASTREID_DATASETS"] = folder
        identities = sum(RENDERED[name][0] for name in RENDERED)
        rows += share_rows(load_config(DEMO, [*rendered, "MODEL.HEADS.NUM_CLASSES", identities]), args)
        rows += [loader_row(load_config(PAPER, [*rendered, "INPUT.SIZE_TRAIN", size]), args) for size in SIZES]
    finish("Sampling and loading", rows, args)


if __name__ == "__main__":
    main()
