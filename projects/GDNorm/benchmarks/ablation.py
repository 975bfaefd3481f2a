"""The paper's ablation on rendered domains: writes results/ablation.md.

    python projects/GDNorm/benchmarks/ablation.py --output logs/ablation

It leaves one of four domains out, trains on the other three and tests on the one left out. Where the paper starts from
ImageNet weights, every row here starts from one network trained on a fifth domain. The rows behind the paper's claims
are run on all targets, the others on two. Finished runs are kept, so the script can be stopped and started again.

The default size takes about 100 minutes on two cores. --full has 30 epochs at 128x64, five seeds, and all rows on all
targets; it takes a GPU one night.
"""

import argparse
import datetime
import platform
from pathlib import Path
from statistics import mean, stdev

import torch
from measure import write_above_reading
from scipy.stats import ttest_rel
from tabulate import tabulate

import fastreid_gdnorm  # noqa: F401
from fastreid_gdnorm.demo import CONFIGS
from fastreid_gdnorm.runs.config import shipped
from fastreid_gdnorm.runs.rows import train_row

RESULTS = Path(__file__).resolve().parent.parent / "results" / "ablation.md"
TARGETS = ("RenderedStreet", "RenderedMall", "RenderedStation", "RenderedCampus")
SOME_TARGETS = ("RenderedMall", "RenderedStation")  # chosen before any result
WARM_START = "RenderedNight"
METRICS = ("Rank-1", "mAP")

GDNORM, BALANCED, BASELINE = "gdnorm.yml", "balanced.yml", "baseline.yml"
PLAIN, CONTROL, GDNORM_ROW = "baseline", "baseline, doubled image passes", "GDNorm, noise variance"
SIZES = {  # epochs, image height and width, seeds
    "default": (3, (64, 32), (0, 1, 2)),
    "full": (30, (128, 64), (0, 1, 2, 3, 4)),
}


def rows(epochs):
    """{row: (config, overrides, whether it is run on all targets)}"""
    return {
        PLAIN: (BASELINE, [], True),
        CONTROL: (BASELINE, schedule(2 * epochs), True),
        "baseline, balanced batches": (BALANCED, [], True),
        "branches only (E)": (GDNORM, ["MODEL.GDNORM.NUM_PATHS", 0], True),
        GDNORM_ROW: (GDNORM, [], True),
        "GDNorm, noise std": (GDNORM, ["MODEL.GDNORM.NOISE", "std"], True),
        "GDNorm, 2 paths": (GDNORM, ["MODEL.GDNORM.NUM_PATHS", 2], False),
        **{f"GDNorm, lambda {scale}": (GDNORM, ["MODEL.GDNORM.LAMBDA", scale], False) for scale in (0.1, 0.3, 1.0)},
        "GDNorm, heads not branched": (GDNORM, ["MODEL.GDNORM.HEADS", False], False),
        "GDNorm, no DomainPreciseBN": (GDNORM, ["SOLVER.HOOKS", "()"], False),
        "GDNorm, full batches": (GDNORM, ["DATALOADER.DOMAIN_BATCH", "full"], False),
        "GDNorm, full batches, as many images": (
            GDNORM,
            ["DATALOADER.DOMAIN_BATCH", "full", *schedule(max(1, epochs // (len(TARGETS) - 1)))],
            False,
        ),
        "GDNorm, mean of statistics": (GDNORM, ["MODEL.GDNORM.MEAN_OF", "statistics"], False),
        "GDNorm, mean on the path": (GDNORM, ["MODEL.GDNORM.MEAN_OF", "path"], False),
        "GDNorm, twice the weight decay": (
            GDNORM,
            ["SOLVER.WEIGHT_DECAY", 1e-3, "SOLVER.WEIGHT_DECAY_NORM", 1e-3],
            False,
        ),
    }


def schedule(epochs):
    """Overrides for ``epochs`` epochs: one test, at the end, and the learning rate divided after two thirds."""
    last = ["SOLVER.CHECKPOINT_PERIOD", epochs, "TEST.EVAL_PERIOD", epochs]
    return ["SOLVER.MAX_EPOCH", epochs, "SOLVER.STEPS", [max(1, 2 * epochs // 3)], *last]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("logs/ablation"), help="default: %(default)s")
    parser.add_argument("--full", action="store_const", dest="size", const="full", default="default")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys to override in every row")
    args = parser.parse_args()
    epochs, image, seeds = SIZES[args.size]
    shared = [*schedule(epochs), "INPUT.SIZE_TRAIN", [*image], "INPUT.SIZE_TEST", [*image], *args.overrides]

    start = args.output / "warm_start"
    domain = ["DATASETS.NAMES", f"('{WARM_START}',)", "DATASETS.TESTS", f"('{WARM_START}',)"]
    title = f"the network that all rows start from, trained on {WARM_START}"
    train_row(start, shipped(f"{CONFIGS}/{BASELINE}"), 0, [*shared, *schedule(20 * epochs), *domain]).run(title)
    shared += ["MODEL.WEIGHTS", start / "model_final.pth"]

    plan = [
        (name, config, overrides, target, seed)
        for seed in seeds
        for name, (config, overrides, everywhere) in rows(epochs).items()
        for target in (TARGETS if everywhere or args.size == "full" else SOME_TARGETS)
    ]
    found = {}
    for number, (name, config, overrides, target, seed) in enumerate(plan, 1):
        sources = tuple(domain for domain in TARGETS if domain != target)
        run = args.output / name.replace(" ", "_").replace(",", "") / f"{target}_{seed}"
        title = f"[{number}/{len(plan)}] {name}, {target}, seed {seed}"
        domains = ["DATASETS.NAMES", str(sources), "DATASETS.TESTS", f"('{target}',)"]
        row = train_row(run, shipped(f"{CONFIGS}/{config}"), seed, [*shared, *overrides, *domains]).run(title)
        found.setdefault(name, {})[target, seed] = row["results"][target]
    write_above_reading(RESULTS, page(found, args, seeds))
    print(RESULTS.read_text())


def page(found, args, seeds):
    """The results page; ``found`` is {row: {(target, seed): metrics}}."""
    epochs, image, _ = SIZES[args.size]
    whole = {name: runs for name, runs in found.items() if len(runs) == len(TARGETS) * len(seeds)}
    some = {name: on(SOME_TARGETS, runs) for name, runs in found.items()}
    seeds = ", ".join(map(str, seeds))
    machine = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    return f"""# Ablation on rendered domains

Each run leaves one domain out, trains on the other three and tests on the one left out. The domains are
{", ".join(TARGETS)}. A run has {epochs} epochs at {image[0]}x{image[1]} and
starts from one network trained on {WARM_START} for {20 * epochs} epochs. The seeds are {seeds}. Each run is tested
once, at the end of training.

Numbers are % of the target's test set. ± is the standard deviation over (target, seed) pairs, most of which comes from
the targets. The columns "vs" are differences between rows, taken pair by pair, with the p of a paired t-test. The
control, "{CONTROL}", takes twice as many optimizer steps, so that as many images pass through
the network as with one sampled path. Two limits: seeds of one target are not independent tests of a method, and of so
many p values one in twenty is below 0.05 by chance. So read a p as a measure of noise.

## The rows behind the paper's claims, on all targets

{table(whole, {"control": CONTROL, PLAIN: PLAIN, "variance": GDNORM_ROW})}

mAP by target:

{by_target(whole)}

## Settings of GDNorm, on {" and ".join(SOME_TARGETS)}

{table(some, {"control": CONTROL, "variance": GDNORM_ROW})}

Measured with `python projects/GDNorm/benchmarks/ablation.py{" --full" if args.size == "full" else ""}`
on {datetime.date.today()}, Python {platform.python_version()}, torch {torch.__version__}, {machine}.
"""


def on(targets, runs):
    """The runs on these targets."""
    return {pair: metrics for pair, metrics in runs.items() if pair[0] in targets}


def table(found, references):
    """A line for each row: mean, deviation, and the paired differences from ``references``, {word: row}."""
    lines = []
    for name, runs in found.items():
        line = [name]
        for metric in METRICS:
            own = [metrics[metric] for metrics in runs.values()]
            line.append(f"{mean(own):.1f} ± {stdev(own):.1f}")
            for reference in references.values():
                other = [found[reference][pair][metric] for pair in runs]
                line.append("" if name == reference else difference(own, other))
        lines.append(line)
    headers = ["", *(head for metric in ("R1", "mAP") for head in (metric, *(f"vs {word}" for word in references)))]
    return tabulate(lines, headers, tablefmt="github", disable_numparse=True)


def difference(own, other):
    """The mean difference of the pairs and the p of their t-test."""
    p = ttest_rel(own, other).pvalue
    return f"{mean(own) - mean(other):+.1f} (p {'< 0.001' if p < 0.001 else f'{p:.3f}'})"


def by_target(found):
    """mAP of each row on each target, averaged over seeds."""
    lines = [
        [name, *(f"{mean(metrics['mAP'] for pair, metrics in runs.items() if pair[0] == t):.1f}" for t in TARGETS)]
        for name, runs in found.items()
    ]
    return tabulate(lines, ["", *TARGETS], tablefmt="github", disable_numparse=True)


if __name__ == "__main__":
    main()
