"""How much time and memory does a training step of GDNorm take, compared with stock Baseline?

    python projects/GDNorm/benchmarks/speed/training.py [--output FILE.json]

Trains networks as in the shipped base configs, with fast-reid's own trainer and optimizer, on random images: on CPU 24
images of 256x128 in float32, on CUDA 128 of 384x128 with AMP. Each contender has a process of its own. "As it is" is
stock with glibc's default allocator; all others keep freed memory, as the plugin does (SOLVER.KEEP_MEMORY). It takes
about 6 minutes on two cores.
"""

import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import torch

import fastreid_gdnorm  # noqa: F401  patches fastreid before it is imported

# isort: split
from benchmarks.shared.measure import BATCH, Apart, arguments, finish, gflop, interleave, row, without_norm
from fastreid.config import get_cfg
from fastreid.engine.train_loop import AMPTrainer, SimpleTrainer
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY, Baseline, build_model
from fastreid.solver import build_optimizer
from fastreid.utils.events import EventStorage

from fastreid_gdnorm.integration.allocator import keep_memory
from fastreid_gdnorm.runs.run_config import shipped

GDNORM, BASELINE = "configs/Base-GDNorm.yml", "configs/Base-baseline.yml"
CHANNELS_LAST = ("MODEL.META_ARCHITECTURE", "ChannelsLastBaseline")
AS_IT_IS, WITHOUT_NORM = "stock as it is", "convolutions alone"
CONTENDERS = {  # config, K, overrides
    AS_IT_IS: (BASELINE, 3, ()),
    "stock": (BASELINE, 3, CHANNELS_LAST),
    WITHOUT_NORM: (BASELINE, 3, CHANNELS_LAST),
    "GDNorm": (GDNORM, 3, ()),
    "domain path alone": (GDNORM, 3, ("MODEL.GDNORM.NUM_PATHS", 0)),
    "3 sampled paths": (GDNORM, 3, ("MODEL.GDNORM.NUM_PATHS", 3)),
    "all paths kept": (GDNORM, 3, ("MODEL.GDNORM.EARLY_GRADIENTS", False)),
    "K = 12": (GDNORM, 12, ()),
    "K = 32": (GDNORM, 32, ()),
}
NETWORKS = {  # the backbone's builder, DEPTH and FEAT_DIM
    "ResNet-50": ("build_resnet_backbone", "50x", 2048),
    "MobileNetV2": ("build_mobilenetv2_backbone", "1.0x", 1280),
    "OSNet": ("build_osnet_backbone", "x1_0", 512),
}
MANY_DOMAINS = (64, (128, 64))  # a batch with two images of each of 32 domains


class ChannelsLastBaseline(Baseline):
    """Stock Baseline with images in channels-last order, like GDNorm."""

    def preprocess_image(self, batched_inputs):
        return super().preprocess_image(batched_inputs).contiguous(memory_format=torch.channels_last)


META_ARCH_REGISTRY.register(ChannelsLastBaseline)


def stepper(network, name, device, batch):
    """A training step of this contender by fast-reid's trainer."""
    if name != AS_IT_IS and not keep_memory():
        raise SystemExit("this needs glibc; unset MALLOC_..., GLIBC_TUNABLES and LD_PRELOAD in the environment")
    config, num_domains, overrides = CONTENDERS[name]
    backbone, depth, features = NETWORKS[network]
    size, (height, width) = batch
    cfg = get_cfg()
    cfg.merge_from_file(shipped(config))
    cfg.merge_from_list(["MODEL.DEVICE", device, "MODEL.BACKBONE.PRETRAIN", False, "MODEL.HEADS.NUM_CLASSES", 1000])
    cfg.merge_from_list(["MODEL.BACKBONE.DEPTH", depth, "MODEL.BACKBONE.FEAT_DIM", features])
    cfg.merge_from_list(["MODEL.GDNORM.BACKBONE" if config == GDNORM else "MODEL.BACKBONE.NAME", backbone])
    cfg.merge_from_list(["SOLVER.BASE_LR", 1e-9, "DATASETS.NAMES", ("any",) * num_domains, *overrides])
    torch.manual_seed(0)
    model = without_norm(build_model(cfg)) if name == WITHOUT_NORM else build_model(cfg)
    data = {
        "images": torch.rand(size, 3, height, width, device=device) * 255,
        "targets": torch.arange(size, device=device),  # each domain has several, even with 32 domains
        "domains": torch.arange(size, device=device) * num_domains // size,
        "camids": torch.zeros(size, dtype=torch.long, device=device),
    }
    trainer = (AMPTrainer if device == "cuda" else SimpleTrainer)(
        model, itertools.repeat(data), *build_optimizer(cfg, model)
    )
    torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK  # as fast-reid's default_setup does

    def step():
        with EventStorage():
            trainer.run_step()

    return step


def together(network, names, device, batch, rounds):
    """Seconds of every contender in every round, and each contender's peak memory in MiB."""
    contenders = {name: Apart(stepper, network, name, device, batch) for name in names}
    seconds = interleave(contenders, rounds)
    peaks = {name: contender.peak() for name, contender in contenders.items()}
    for contender in contenders.values():
        contender.close()
    return seconds, peaks


def time_rows(network, args):
    """Rows of one network's GDNorm against stock, and the contenders' peak memory."""
    names = (AS_IT_IS, "stock", "GDNorm", *((WITHOUT_NORM, "domain path alone") if network == "ResNet-50" else ()))
    seconds, peaks = together(network, names, args.device, BATCH[args.device], args.repeats)
    on_gpu, main = args.device == "cuda", network == "ResNet-50"
    goal, goal_as_it_is = ("<= 0.97", "<= 0.85") if on_gpu else ("<= 0.95", "<= 0.85" if main else "")
    rows = [
        row(f"{network}, step", "two stock steps", goal, seconds, "GDNorm", "stock", 2),
        row(f"{network}, step", "two stock steps as it is", goal_as_it_is, seconds, "GDNorm", AS_IT_IS, 2),
        row(f"{network}, stock step", "stock step as it is", "", seconds, "stock", AS_IT_IS),
    ]
    if main:
        rows += [
            row("floor: stock step without norms", "stock step", "", seconds, WITHOUT_NORM, "stock"),
            row("domain path alone", "stock step", "<= 1.00", seconds, "domain path alone", "stock"),
        ]
    return rows, peaks


def domain_rows(args):
    """K = 12 and K = 32 against K = 3, on as many pixels as the other rows."""
    names = ("GDNorm", "K = 12", "K = 32")
    seconds, _ = together("ResNet-50", names, args.device, MANY_DOMAINS, args.repeats)
    size, (height, width) = MANY_DOMAINS
    batch = f"batch {size} of {height}x{width}"
    return [row(f"{name}, {batch}", "K = 3", "<= 1.05", seconds, name, "GDNorm") for name in names[1:]]


def memory_rows(peaks, args):
    """Peak memory in MiB, including the model and its optimizer; ``peaks`` come from :func:`time_rows`."""
    others = ("3 sampled paths", "all paths kept")
    peaks = {**peaks, **together("ResNet-50", others, args.device, BATCH[args.device], args.repeats)[1]}
    return [
        {"what": what, "against": "stock step", "goal": goal, "ratio": round(peaks[name] / peaks["stock"], 3)}
        | {"MiB": round(peaks[name])}
        for what, name, goal in (
            ("peak memory, 1 sampled path", "GDNorm", "<= 1.25"),
            ("peak memory, 3 sampled paths", "3 sampled paths", "<= 1.25"),
            ("the same, 1 path, EARLY_GRADIENTS False", "all paths kept", ""),
        )
    ]


def main():
    args = arguments(__doc__, repeats=3)
    work = gflop(stepper("ResNet-50", AS_IT_IS, args.device, BATCH[args.device]))
    rows, peaks = time_rows("ResNet-50", args)
    for network in ("MobileNetV2", "OSNet"):
        rows += time_rows(network, args)[0]
    rows += [*domain_rows(args), *memory_rows(peaks, args)]
    size, image = BATCH[args.device]
    finish(
        f"Training step, K = 3, 1 sampled path, batch {size} of {image[0]}x{image[1]}; {work} GFLOP a stock step of "
        "ResNet-50",
        *(rows, args),
    )


if __name__ == "__main__":
    main()
