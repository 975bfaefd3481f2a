"""How much time and memory does a training step of GDNorm take, compared with stock Baseline?

    python projects/GDNorm/benchmarks/speed/training.py [--output FILE.json]

Trains networks as in the shipped base configs, with fast-reid's own trainer and optimizer, on random images: on CPU 24
images of 256x128 in float32, on CUDA 128 of 384x128 with AMP. Each contender has a process of its own. "As it is" is
stock with glibc's default allocator; all others keep freed memory, as the plugin does (SOLVER.KEEP_MEMORY). The rows
"of a step" come from torch's profiler, with one thread. It takes about 5 minutes on two cores.
"""

import collections
import functools
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
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from fastreid_gdnorm.integration.allocator import keep_memory
from fastreid_gdnorm.layers.running_statistics import copy_statistics
from fastreid_gdnorm.runs.run_config import shipped

GDNORM, BASELINE = "configs/Base-GDNorm.yml", "configs/Base-baseline.yml"
CHANNELS_LAST = ("MODEL.META_ARCHITECTURE", "ChannelsLastBaseline")
AS_IT_IS, WITHOUT_NORM, COPIES = "stock as it is", "convolutions alone", "copies of statistics"
CONTENDERS = {  # config, K, overrides
    AS_IT_IS: (BASELINE, 3, ()),
    "stock": (BASELINE, 3, CHANNELS_LAST),
    WITHOUT_NORM: (BASELINE, 3, CHANNELS_LAST),
    "GDNorm": (GDNORM, 3, ()),
    "domain path alone": (GDNORM, 3, ("MODEL.GDNORM.NUM_PATHS", 0)),
    "3 sampled paths": (GDNORM, 3, ("MODEL.GDNORM.NUM_PATHS", 3)),
    "all paths kept": (GDNORM, 3, ("MODEL.GDNORM.EARLY_GRADIENTS", False)),
    "K = 32": (GDNORM, 32, ()),
    COPIES: (GDNORM, 3, ()),
}
NETWORKS = {  # the backbone's builder, DEPTH and FEAT_DIM
    "ResNet-50": ("build_resnet_backbone", "50x", 2048),
    "MobileNetV2": ("build_mobilenetv2_backbone", "1.0x", 1280),
    "OSNet": ("build_osnet_backbone", "x1_0", 512),
}
MANY_DOMAINS = (64, (128, 64))  # a batch with two images of each of 32 domains
# What a step spends its time on: an operation belongs to the first group that has a word of its name or its caller's.
GROUPS = {
    "optimizer": ("optimizer",),
    "convolutions": ("convolution",),
    "norms": ("batchnorm",),
    "joining the branches' outputs": ("aten::cat", "catbackward", "splitwithsizesbackward"),
    "all else": ("",),
}


class ChannelsLastBaseline(Baseline):
    """Stock Baseline with images in channels-last order, like GDNorm."""

    def preprocess_image(self, batched_inputs):
        return super().preprocess_image(batched_inputs).contiguous(memory_format=torch.channels_last)


META_ARCH_REGISTRY.register(ChannelsLastBaseline)


def stepper(network, name, device, batch):
    """A training step of this contender by fast-reid's trainer; for COPIES, what half precision copies in a step."""
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
    if name == COPIES:  # for the whole step and for its sampled path, in case one overflows
        return lambda: (copy_statistics(model), copy_statistics(model))
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


def profiled(device, step):
    """Seconds of each of GROUPS in a step, of the GPU or of one thread: the least of two rounds."""
    torch.set_num_threads(1)  # threads that wait for each other would count as work
    on_gpu = device == "cuda"
    rounds = []
    for _ in range(2):
        with profile(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_gpu]) as found:
            step()
            if on_gpu:
                torch.cuda.synchronize()
        seconds = collections.Counter()
        for event in found.events():
            if event.device_type == DeviceType.CPU:  # a kernel's time is also its operation's
                seconds[group_of(event)] += (
                    event.self_device_time_total if on_gpu else event.self_cpu_time_total
                ) / 1e6
        rounds.append(seconds)
    return {group: min(seconds[group] for seconds in rounds) for group in GROUPS}


def group_of(event):
    names = []
    while event is not None:
        names.append(event.name.lower().replace("_", ""))
        event = event.cpu_parent
    return next(group for group, words in GROUPS.items() if any(word in name for word in words for name in names))


def together(network, names, device, batch, rounds, to_profile=()):
    """Seconds of every contender in every round, peak memory of each in MiB, and those of ``to_profile`` profiled."""
    contenders = {name: Apart(stepper, network, name, device, batch) for name in names}
    seconds = interleave(contenders, rounds)
    peaks = {name: contender.peak() for name, contender in contenders.items()}
    profiles = {name: contenders[name].ask(functools.partial(profiled, device)) for name in to_profile}
    for contender in contenders.values():
        contender.close()
    return seconds, peaks, profiles


def main_rows(args):
    """Rows of ResNet-50: GDNorm against stock, what a step spends its time on, and memory."""
    goal, goal_as_it_is = ("<= 0.97", "<= 0.85") if args.device == "cuda" else ("<= 0.95", "<= 0.85")
    where = args.device, BATCH[args.device]
    names = (AS_IT_IS, "stock", "GDNorm", WITHOUT_NORM, "domain path alone", COPIES)
    seconds, peaks, profiles = together("ResNet-50", names, *where, args.repeats, ("stock", "GDNorm"))
    others = ("3 sampled paths", "all paths kept")
    peaks.update(together("ResNet-50", others, *where, rounds=1)[1])
    return [
        row("ResNet-50, step", "two stock steps", goal, seconds, "GDNorm", "stock", 2),
        row("ResNet-50, step", "two stock steps as it is", goal_as_it_is, seconds, "GDNorm", AS_IT_IS, 2),
        row("ResNet-50, stock step", "stock step as it is", "", seconds, "stock", AS_IT_IS),
        row("floor: stock step without norms", "stock step", "", seconds, WITHOUT_NORM, "stock"),
        row("domain path alone", "stock step", "<= 1.00", seconds, "domain path alone", "stock"),
        row("copies of statistics, in half precision alone", "step", "<= 0.01", seconds, COPIES, "GDNorm"),
        *profile_rows(profiles["GDNorm"], profiles["stock"]),
        *memory_rows(peaks),
    ]


def profile_rows(own, stock):
    """What one step of GDNorm and two of stock spend their time on, in % of the two."""
    whole = 2 * sum(stock.values())
    return [
        {"what": f"of a step: {group}", "against": "two stock steps", "seconds": round(own[group], 4)}
        | {"share, %": round(100 * own[group] / whole, 1), "stock's, %": round(200 * stock[group] / whole, 1)}
        for group in GROUPS
    ]


def memory_rows(peaks):
    """Peak memory in MiB, including the model and its optimizer."""
    return [
        {"what": what, "against": "stock step", "goal": goal, "ratio": round(peaks[name] / peaks["stock"], 3)}
        | {"MiB": round(peaks[name])}
        for what, name, goal in (
            ("peak memory, 1 sampled path", "GDNorm", "<= 1.25"),
            ("peak memory, 3 sampled paths", "3 sampled paths", "<= 1.25"),
            ("the same, 1 path, EARLY_GRADIENTS False", "all paths kept", ""),
        )
    ]


def other_rows(args):
    """GDNorm against stock with small networks, and K = 32 against K = 3 on as many pixels."""
    goal, rows = "<= 0.97" if args.device == "cuda" else "<= 0.95", []
    for network in ("MobileNetV2", "OSNet"):
        seconds = together(network, ("stock", "GDNorm"), args.device, BATCH[args.device], args.repeats)[0]
        rows.append(row(f"{network}, step", "two stock steps", goal, seconds, "GDNorm", "stock", 2))
    size, (height, width) = MANY_DOMAINS
    seconds = together("ResNet-50", ("GDNorm", "K = 32"), args.device, MANY_DOMAINS, args.repeats)[0]
    rows.append(row(f"K = 32, batch {size} of {height}x{width}", "K = 3", "<= 1.05", seconds, "K = 32", "GDNorm"))
    return rows


def main():
    args = arguments(__doc__, repeats=3)
    work = gflop(stepper("ResNet-50", AS_IT_IS, args.device, BATCH[args.device]))
    size, image = BATCH[args.device]
    finish(
        f"Training step, K = 3, 1 sampled path, batch {size} of {image[0]}x{image[1]}; {work} GFLOP a stock step of "
        "ResNet-50",
        *([*main_rows(args), *other_rows(args)], args),
    )


if __name__ == "__main__":
    main()
