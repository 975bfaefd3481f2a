"""A training step of GDNorm against steps of stock Baseline: time and memory.

    python projects/GDNorm/benchmarks/training.py [--output FILE.json]

ResNet-50 as in the shipped base configs, with fast-reid's own trainer and optimizer, on random images: on CPU 24 images
of 256x128 in float32, on CUDA 128 of 384x128 by AMP. It takes less than 10 minutes on two cores.
"""

import itertools
import multiprocessing

import torch

import fastreid_gdnorm  # noqa: F401  patches fastreid before it is imported

# isort: split
from fastreid.config import get_cfg
from fastreid.engine.train_loop import AMPTrainer, SimpleTrainer
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY, Baseline, build_model
from fastreid.solver import build_optimizer
from fastreid.utils.events import EventStorage
from measure import BATCH, arguments, finish, gflop, interleave, peak_resident, row, without_norm

from fastreid_gdnorm.layers import DomainPath, SampledPath, follow
from fastreid_gdnorm.modeling import GDNormBaseline
from fastreid_gdnorm.runs.config import shipped

GDNORM, BASELINE = "configs/Base-GDNorm.yml", "configs/Base-baseline.yml"
WITHOUT_NORM = "convolutions alone"
CONTENDERS = {  # config, K, overrides
    "stock": (BASELINE, 3, ()),
    "stock, channels-last": (BASELINE, 3, ("MODEL.META_ARCHITECTURE", "ChannelsLastBaseline")),
    WITHOUT_NORM: (BASELINE, 3, ("MODEL.META_ARCHITECTURE", "ChannelsLastBaseline")),
    "1 sampled path": (GDNORM, 3, ()),
    "domain path alone": (GDNORM, 3, ("MODEL.GDNORM.NUM_PATHS", 0)),
    "K = 12": (GDNORM, 12, ()),
    "list of BN": (GDNORM, 3, ("MODEL.META_ARCHITECTURE", "ListOfBN")),
}


class ChannelsLastBaseline(Baseline):
    """Stock Baseline, with its images in channels-last order, as GDNorm has them."""

    def preprocess_image(self, batched_inputs):
        return super().preprocess_image(batched_inputs).contiguous(memory_format=torch.channels_last)


class MaskedDomainPath(DomainPath):
    """Selects every domain's images by a mask and writes the output of its BN back in their place."""

    def normalize(self, layer, x):
        out = torch.empty_like(x)
        for k, branch in enumerate(layer.branches):
            mask = self.domains == k
            if mask.any():
                out[mask] = branch(x[mask]).to(out.dtype)
        return out


class ElementwiseSampledPath(SampledPath):
    """Computes a*x + b literally."""

    def normalize(self, layer, x):
        a, b = (t.to(x.dtype).view(1, -1, 1, 1) for t in self.affine(layer))
        return a * x + b


class ListOfBN(GDNormBaseline):
    """GDNorm as a straightforward first version would have it."""

    def forward(self, batched_inputs):
        losses = []
        for path in (MaskedDomainPath(batched_inputs["domains"]), ElementwiseSampledPath(self.scale, self.noise)):
            with follow(self, path):
                losses.append(Baseline.forward(self, batched_inputs))
        return {f"{name}_{number}": loss for number, each in enumerate(losses) for name, loss in each.items()}

    def preprocess_image(self, batched_inputs):
        return Baseline.preprocess_image(self, batched_inputs)


for meta_arch in (ChannelsLastBaseline, ListOfBN):
    META_ARCH_REGISTRY.register(meta_arch)


def stepper(name, device):
    """fast-reid's trainer for this contender, ready for ``run_step``."""
    config, num_domains, overrides = CONTENDERS[name]
    size, (height, width) = BATCH[device]
    cfg = get_cfg()
    cfg.merge_from_file(shipped(config))
    cfg.merge_from_list(["MODEL.DEVICE", device, "MODEL.BACKBONE.PRETRAIN", False, "MODEL.HEADS.NUM_CLASSES", 1000])
    cfg.merge_from_list(["SOLVER.BASE_LR", 1e-9, "DATASETS.NAMES", ("any",) * num_domains, *overrides])
    torch.manual_seed(0)
    model = without_norm(build_model(cfg)) if name == WITHOUT_NORM else build_model(cfg)
    batch = {
        "images": torch.rand(size, 3, height, width, device=device) * 255,
        "targets": torch.arange(size, device=device),  # so that a domain has several images, even with 12 domains
        "domains": torch.arange(size, device=device) * num_domains // size,
        "camids": torch.zeros(size, dtype=torch.long, device=device),
    }
    trainer = AMPTrainer if device == "cuda" else SimpleTrainer
    torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK  # as fast-reid's default_setup does
    return trainer(model, itertools.repeat(batch), *build_optimizer(cfg, model))


def peak_memory(name, device):
    """Peak memory in MiB of two steps, with the model and its optimizer, in a process of their own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_memory, (name, device))


def _peak_memory(name, device):
    before = peak_resident()
    trainer = stepper(name, device)
    with EventStorage():
        for _ in range(2):
            trainer.run_step()
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_resident() - before


def main():
    args = arguments(__doc__, repeats=5)
    goal, two = ("0.85" if args.device == "cuda" else "0.95"), "two stock steps"
    trainers = {name: stepper(name, args.device) for name in CONTENDERS}
    with EventStorage():
        steps = {name: trainer.run_step for name, trainer in trainers.items()}
        seconds = interleave(steps, args.repeats, args.device)
        work = gflop(steps["stock"])
    rows = [
        row("step, 1 sampled path", two, f"<= {goal}", seconds, "1 sampled path", "stock", 2),
        row("the same, against channels-last", two, "", seconds, "1 sampled path", "stock, channels-last", 2),
        row("floor: step without norm", "stock step", "", seconds, WITHOUT_NORM, "stock"),
        row("domain path alone", "stock step", "<= 1.00", seconds, "domain path alone", "stock"),
        row("K = 12", "K = 3", "<= 1.05", seconds, "K = 12", "1 sampled path"),
        row("step, 1 sampled path", "list of BN", "< 1", seconds, "1 sampled path", "list of BN"),
    ]
    del steps, trainers
    torch.cuda.empty_cache()
    of = {name: peak_memory(name, args.device) for name in ("stock", "1 sampled path", "list of BN")}
    for what, name, goal in (
        ("peak memory, 1 sampled path", "1 sampled path", "<= 1.25"),
        ("peak memory, list of BN", "list of BN", ""),
    ):
        line = {"what": what, "against": "stock step", "goal": goal, "ratio": round(of[name] / of["stock"], 3)}
        rows.append({**line, "MiB": round(of[name])})
    size, image = BATCH[args.device]
    title = f"Training step, ResNet-50, batch {size} of {image[0]}x{image[1]}"
    finish(f"{title}, {work} GFLOP a stock step", rows, args)


if __name__ == "__main__":
    main()
