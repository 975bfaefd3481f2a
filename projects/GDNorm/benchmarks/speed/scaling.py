"""How much faster is a training step in two processes than in one? Writes results/scaling.md.

    python projects/GDNorm/benchmarks/speed/scaling.py

Trains ResNet-50 as in the shipped base configs on random images, with one thread in each process. Two processes
together take as many images in a step as one. While one process works alone, the others wait. The page also counts the
bytes sent between processes and estimates what they cost on many GPUs. It takes two minutes on two cores.
"""

import argparse
import multiprocessing
import statistics
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import torch

import fastreid_gdnorm  # noqa: F401  patches fastreid before it is imported

# isort: split
import torch.distributed as dist
from benchmarks.shared.measure import gflop, interleave
from benchmarks.shared.pages import RESULTS, write_above_reading, written_by
from fastreid.config import get_cfg
from fastreid.engine import defaults
from fastreid.modeling.meta_arch import build_model
from fastreid.solver import build_optimizer
from fastreid.utils import comm
from fastreid.utils.events import EventStorage
from tabulate import tabulate

from fastreid_gdnorm.layers import gdnorm_layers
from fastreid_gdnorm.runs.launcher import Processes, launch
from fastreid_gdnorm.runs.run_config import shipped

PAGE = RESULTS / "scaling.md"
K, IMAGES, SIZE = 3, 24, (128, 64)
GDNORM, BASELINE = "configs/Base-GDNorm.yml", "configs/Base-baseline.yml"
SYNCED = ("MODEL.BACKBONE.NORM", "syncBN", "MODEL.HEADS.NORM", "syncBN")
ROWS = {"baseline": BASELINE, "GDNorm, 1 sampled path": GDNORM}
# For the estimate: a GPU's sustained half-precision speed; bandwidth of a ring of links and time of a small all-reduce,
# within a machine of 8 GPUs and between machines.
FLOPS = 150e12
LINKS = {8: (200e9, 30e-6), 64: (40e9, 60e-6)}
BATCHES = {8: (128, 512), 64: (512, 2048)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="rounds, default: %(default)s")
    args = parser.parse_args()
    launch(measure, Processes(2), "cpu", (args.repeats, on_paper()))


def config(name, overrides=()):
    cfg = get_cfg()
    cfg.merge_from_file(shipped(ROWS[name]))
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.BACKBONE.PRETRAIN", False, "MODEL.HEADS.NUM_CLASSES", 1000])
    cfg.merge_from_list(["SOLVER.BASE_LR", 1e-9, "DATASETS.NAMES", ("any",) * K, *overrides])
    return cfg


def stepper(name, processes, overrides=()):
    """A training step on this process's share of the images."""
    cfg = config(name, overrides)
    torch.manual_seed(0)
    model = defaults.DefaultTrainer.build_model(cfg) if processes > 1 else build_model(cfg)
    optimizer, _ = build_optimizer(cfg, model)
    if processes > 1:
        model = defaults.DistributedDataParallel(model, broadcast_buffers=False)
    places = torch.arange(IMAGES).view(-1, 2, 2)  # identities of two images, dealt out to the processes in turn
    own = (places[:, comm.get_rank() :: processes] if processes > 1 else places).flatten()
    images = torch.rand(IMAGES, 3, *SIZE)[own] * 255
    batch = {"images": images, "targets": own // 2, "domains": own * K // IMAGES, "camids": torch.zeros_like(own)}

    def step():
        optimizer.zero_grad()
        with EventStorage():
            sum(model.train()(batch).values()).backward()
        optimizer.step()

    return step


def measure(repeats, paper):
    """Runs in both processes. The first starts a third, independent one as the reference, and writes the page."""
    torch.set_num_threads(1)
    alone = _start_third() if comm.is_main_process() else None
    contenders, lines = {}, []
    for name in ROWS:
        contenders[name, "alone"] = partial(_wait_for, alone, name)
        contenders[name, "own statistics"] = stepper(name, 2)
        contenders[name, "syncBN"] = stepper(name, 2, SYNCED)
    seconds = interleave(contenders, repeats)
    for name in ROWS:
        for how in ("own statistics", "syncBN"):
            ratios = [one / two for one, two in zip(seconds[name, "alone"], seconds[name, how])]
            lines.append([name, how, f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}"])
    if alone:
        alone.send(None)
        write_page(lines, paper)


def _start_third():
    ours, its = multiprocessing.Pipe()
    multiprocessing.get_context("spawn").Process(target=_third, args=(its,)).start()
    return ours


def _third(connection):
    torch.set_num_threads(1)
    steps = {name: stepper(name, 1) for name in ROWS}
    while (name := connection.recv()) is not None:
        steps[name]()
        connection.send(None)


def _wait_for(alone, name):
    """Run a step in the third process while the other two wait."""
    if alone:
        alone.send(name)
        alone.recv()
    dist.barrier()


def traffic(name):
    """Per step: bytes of gradients, bytes of BN's statistics forward and backward, number of their all-reduces."""
    model = build_model(config(name, SYNCED))
    gradients = 4 * sum(p.numel() for p in model.parameters() if p.requires_grad)
    layers = gdnorm_layers(model).values()
    if layers:
        values = [K * (2 * len(layer.branches[0].weight) + 1) for layer in layers]
    else:
        values = [2 * m.num_features + 1 for m in model.modules() if isinstance(m, torch.nn.SyncBatchNorm)]
    return gradients, 2 * 4 * sum(values), 2 * len(values)


def on_paper():
    """One line for every row, number of GPUs and batch: the bytes sent in a step, and its times."""
    lines = []
    for name in ROWS:
        gradients, statistics_bytes, count = traffic(name)
        model = build_model(config(name)).train()
        places = torch.arange(4 * K)
        batch = {"images": torch.rand(4 * K, 3, 384, 128), "targets": places // 2, "domains": places // 4}
        batch["camids"] = torch.zeros_like(places)
        with EventStorage(), torch.no_grad():
            work = 3 * gflop(partial(model, batch)) * 1e9 / (4 * K)  # the backward pass is twice the forward one
        for gpus, (bandwidth, latency) in LINKS.items():
            for images in BATCHES[gpus]:
                share = 2 * (gpus - 1) / gpus  # of the data, carried by each link of a ring
                compute = work * images / gpus / FLOPS
                sent, synced = share * gradients / bandwidth, count * latency + share * statistics_bytes / bandwidth
                times = [f"{1e3 * seconds:.1f}" for seconds in (compute, sent, synced)]
                lines.append([name, gpus, images, f"{gradients / 1e6:.0f}", f"{statistics_bytes / 1e6:.2f}", *times])
    return lines


def write_page(lines, paper):
    headers = ["row", "GPUs", "images", "gradients, MB", "statistics, MB", "compute, ms", "gradients, ms", "syncBN, ms"]
    columns = ["row", "statistics", "two against one", "rounds"]
    measured = tabulate(lines, columns, tablefmt="github", disable_numparse=True)
    links = "; ".join(
        f"between {gpus} GPUs a ring of {bandwidth / 1e9:.0f} GB/s, and {latency * 1e6:.0f} us for a small all-reduce"
        for gpus, (bandwidth, latency) in LINKS.items()
    )
    write_above_reading(
        PAGE,
        f"""# Several processes

{written_by("speed/scaling.py")}

## Measured: two processes against one

ResNet-50, {IMAGES} images of {SIZE[0]}x{SIZE[1]} in each step over all processes, one thread in each process, gloo. The
table shows the speed-up of two processes over one, as medians over interleaved rounds; 2.00 is ideal. The two cores
share caches and memory.

{measured}

## Estimated: many GPUs

No GPU was available. Bytes are counted from the model; times are estimates for {FLOPS / 1e12:.0f} TFLOP/s sustained in
half precision. Links: {links}.
Gradients are sent during the backward pass; a layer has to wait for its statistics.

{tabulate(paper, headers, tablefmt="github")}
""",
    )


if __name__ == "__main__":
    main()
