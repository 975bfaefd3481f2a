"""The recipe: which way to train is best on development domains, drawn and photographed: writes results/recipe.csv.

    FASTREID_DATASETS=DIR python projects/GDNorm/benchmarks/recipe.py --output logs/recipe

DIR holds what photographs.py makes. Every way is trained on three drawn domains and tested on eight others, and trained
on CUHK03's second pair and CUHK01 and tested on its pairs 3 to 5. No page has used these domains otherwise.
"""

import argparse
import csv
import json
import logging
from concurrent.futures import as_completed
from pathlib import Path

import photograph_domains  # noqa: F401
import recipe_variants  # noqa: F401
import variants  # noqa: F401
from evidence import drawn_weights
from fastreid.config import get_cfg
from people_tests import MEANS, PeopleTests
from tqdm import tqdm

from fastreid_gdnorm.data import read
from fastreid_gdnorm.demo import CONFIGS
from fastreid_gdnorm.runs import files
from fastreid_gdnorm.runs.config import shipped
from fastreid_gdnorm.runs.run import train
from fastreid_gdnorm.runs.side_by_side import spawned_pool
from fastreid_gdnorm.runs.training_log import read_metrics

RESULTS = Path(__file__).resolve().parent.parent / "results"
DRAWN = tuple(f"RenderedDraw{seed}" for seed in range(5000, 5003))
KINDS = {  # sources, targets, epochs
    "photographs": (("CUHK03Pair2", "CUHK01"), ("CUHK03Pairs3to5",), 10),
    "drawings": (DRAWN, tuple(f"RenderedDraw{seed}" for seed in range(5100, 5108)), 24),
}
G, ARCH, HOOKS, IBN = "MODEL.GDNORM.", "MODEL.META_ARCHITECTURE", "SOLVER.HOOKS", "build_mobilenetv2_ibn_backbone"
BATCH = ((ARCH, "GDNormBatch"), (G + "LAMBDA", 0.0))
EMA = (HOOKS, "('AveragedWeights','DomainPreciseBN')")
WAYS = {  # config of the demo, overrides, share of the epochs
    "baseline": ("baseline", (), 1),
    "baseline, twice the batch": ("baseline", (("SOLVER.IMS_PER_BATCH", 96),), 2),
    "branches only (E)": ("branches", (), 1),
    "whole batch": ("gdnorm", BATCH, 1),
    "GDNorm, std": ("gdnorm", ((G + "NOISE", "std"),), 1),
    "statistics": ("gdnorm", ((ARCH, "GDNormStatistics"),), 1),
    "whole batch, lambda 1": ("gdnorm", ((ARCH, "GDNormBatch"), (G + "LAMBDA", 1.0)), 1),
    "whole batch, EMA": ("gdnorm", (*BATCH, EMA), 1),
    "baseline, twice the batch, EMA": ("baseline", (("SOLVER.IMS_PER_BATCH", 96), EMA), 2),
    "whole batch, 2 images of a person": ("gdnorm", (*BATCH, ("DATALOADER.NUM_INSTANCE", 2)), 1),
    "whole batch, full": ("gdnorm", (*BATCH, ("DATALOADER.DOMAIN_BATCH", "full")), "full"),
    "whole batch, own classes": (
        "gdnorm",
        ((ARCH, "GDNormBatchOwnClasses"), BATCH[1], (HOOKS, "('OwnClasses','DomainPreciseBN')")),
        1,
    ),
    "whole batch, IBN": ("gdnorm", (*BATCH, (G + "BACKBONE", IBN)), 1),
    "baseline, twice the batch, IBN": ("baseline", (("SOLVER.IMS_PER_BATCH", 96), ("MODEL.BACKBONE.NAME", IBN)), 2),
    "GDNorm, variance": ("gdnorm", (), 1),
    "GDNorm, std, EMA": ("gdnorm", ((G + "NOISE", "std"), EMA), 1),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("logs/recipe"), help="default: %(default)s")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", nargs="*")
    parser.add_argument("--kinds", nargs="*", default=[*KINDS])
    args = parser.parse_args()
    tasks = [(args.output, way, kind, args.seed) for way in args.ways or WAYS for kind in args.kinds]
    for domain in [domain for kind in args.kinds if kind == "drawings" for part in KINDS[kind][:2] for domain in part]:
        read(get_cfg(), domain)
    with spawned_pool(args.jobs, threads=1) as pool:
        runs = [pool.submit(run_way, *task) for task in tasks]
        for run in tqdm(as_completed(runs), "ways", len(runs), disable=None):
            run.result()


def run_way(output, way, kind, seed):
    logging.getLogger("fastreid").setLevel(logging.WARNING)
    run = output / f"{way}-{kind}-{seed}".replace(" ", "_").replace(",", "")
    sources, targets, epochs = KINDS[kind]
    config, own, share = WAYS[way]
    epochs = round(epochs * (2 / (len(sources) + 1) if share == "full" else share))
    if not (run / files.FINAL).is_file():
        overrides = {
            "MODEL.BACKBONE.PRETRAIN_PATH": drawn_weights(),
            "SOLVER.MAX_EPOCH": epochs,
            "SOLVER.STEPS": f"[{round(0.6 * epochs)},{round(0.85 * epochs)}]",
            "SOLVER.CHECKPOINT_PERIOD": epochs,
            "TEST.EVAL_PERIOD": epochs,
            "DATASETS.NAMES": str(sources),
            "DATASETS.TESTS": f"('{targets[0]}',)",
            "OUTPUT_DIR": run,
            **dict(own),
        }
        words = [str(word) for pair in overrides.items() for word in pair]
        train(shipped(f"{CONFIGS}/{config}.yml"), words, seed=seed, resume=True)
    with open(run / "tests.jsonl", "a+") as file:
        PeopleTests(run, file).of_targets(targets, (16, 64), (*MEANS, "ensemble"))


if __name__ == "__main__":
    main()
