"""Which way to train is best on development domains? Writes results/recipe.md and recipe.csv.

    export FASTREID_DATASETS=DIR
    python projects/GDNorm/benchmarks/does_it_work/recipe.py --output logs/recipe

data/photographs.py fills DIR. Every row is run on two groups of domains. On photographs it trains on CUHK03's second
pair and CUHK01 and tests on CUHK03's pairs 3 to 5; in the group "drawings" it trains on three synthetic domains and
tests on eight others. No other page tests on these targets. GDNorm passes each image along two paths, so rows with
twice the batch make as many image passes. The best row became configs/GDNorm-recommended.yml. All rows take some
hours on two cores. An interrupted run resumes, and rows whose tests are in the CSV are skipped.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

from benchmarks.does_it_work.people_page import adapted_table, paths_table, rows_table
from benchmarks.does_it_work.people_rows import Group, Row, Task, run_all
from benchmarks.does_it_work.people_tables import Results
from benchmarks.shared.pages import RESULTS, write_above_reading, written_by
from fastreid.config import get_cfg

from fastreid_gdnorm.data import read

DRAWN = tuple(f"RenderedDraw{seed}" for seed in range(5000, 5003))
DRAWN_TARGETS = tuple(f"RenderedDraw{seed}" for seed in range(5100, 5108))
GROUPS = {
    "photographs": Group(("CUHK03Pair2", "CUHK01"), ("CUHK03Pairs3to5",), 1700),
    "drawings": Group(DRAWN, DRAWN_TARGETS, 720),
}
LAMBDA, NOISE, ARCH = "MODEL.GDNORM.LAMBDA", "MODEL.GDNORM.NOISE", "MODEL.META_ARCHITECTURE"
BATCH, HOOKS, IBN = "SOLVER.IMS_PER_BATCH", "SOLVER.HOOKS", "build_mobilenetv2_ibn_backbone"
MIXSTYLE = "build_mobilenetv2_mixstyle_backbone"
TWICE = {BATCH: 96}
FULL = {"DATALOADER.DOMAIN_BATCH": "full"}
EMA = {HOOKS: "('AveragedWeights','DomainPreciseBN')"}
POOLED = {ARCH: "GDNormBatch", LAMBDA: 0.0}
OWN_CLASSES = {ARCH: "GDNormBatchOwnClasses", HOOKS: "('OwnClasses','DomainPreciseBN')"}
ROWS = {
    "baseline": Row("baseline", {}),
    "baseline, twice the batch": Row("baseline", TWICE),
    "branches only (E)": Row("branches", {}),
    "GDNorm, std": Row("gdnorm", {NOISE: "std"}),
    "whole batch": Row("gdnorm", POOLED),
    "branches, twice the batch": Row("branches", TWICE),
    "branches, full": Row("branches", FULL),
    "scattered, lambda 0.5": Row("branches", {**TWICE, ARCH: "GDNormScattered", LAMBDA: 0.5}),
    "scattered, lambda 1": Row("branches", {**TWICE, ARCH: "GDNormScattered", LAMBDA: 1.0}),
    **{
        name: Row("branches", {**TWICE, ARCH: "GDNormInTurn", HOOKS: f"('{hook}','DomainPreciseBN')"})
        for name, hook in (
            ("branches, then whole batch", "BranchesFirst"),
            ("whole batch, then branches", "WholeBatchFirst"),
            ("branches and whole batch in turn", "EveryOtherStep"),
        )
    },
    "whole batch, light branches": Row("gdnorm", {ARCH: "GDNormLightBranches", LAMBDA: 0.0}),
    "whole batch, full": Row("gdnorm", {**POOLED, **FULL}),
    "GDNorm, std, full": Row("gdnorm", {NOISE: "std", **FULL}),
    "branches, twice the batch, EMA": Row("branches", {**TWICE, **EMA}),
    "branches, twice the batch, own classes": Row("branches", {**TWICE, **OWN_CLASSES}),
    "branches, twice the batch, IBN": Row("branches", {**TWICE, "MODEL.GDNORM.BACKBONE": IBN}),
    "branches, twice the batch, MixStyle": Row("branches", {**TWICE, "MODEL.GDNORM.BACKBONE": MIXSTYLE}),
    "whole batch, ensemble distilled": Row("gdnorm", {ARCH: "GDNormDistilled", LAMBDA: 0.0}),
    "baseline, twice the batch, EMA": Row("baseline", {**TWICE, **EMA}),
    "baseline, twice the batch, IBN": Row("baseline", {**TWICE, "MODEL.BACKBONE.NAME": IBN}),
    "whole batch, lambda 1": Row("gdnorm", {**POOLED, LAMBDA: 1.0}),
    "statistics": Row("gdnorm", {ARCH: "GDNormStatistics"}),
    "whole batch, 2 images of a person": Row("gdnorm", {**POOLED, "DATALOADER.NUM_INSTANCE": 2}),
    "branches, 2 images of a person": Row("branches", {**TWICE, "DATALOADER.NUM_INSTANCE": 2}),
    "branches, one domain in turn": Row("branches", {**TWICE, "DATALOADER.SAMPLER_TRAIN": "OneDomainInTurn"}),
}
# rows with a full batch of each of k domains: the factor on the steps that keeps the number of image passes
OF_DOMAINS = {
    "branches, full": lambda k: 2 / k,
    **dict.fromkeys(("whole batch, full", "GDNorm, std, full"), lambda k: 2 / (k + 1)),
}
PATHS, SITE_IMAGES = ("mean:affine", "mean:path", "ensemble"), (16, 64)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("logs/recipe"), help="default: %(default)s")
    parser.add_argument("--jobs", type=int, default=2, help="rows at a time, with a thread each; default: %(default)s")
    parser.add_argument("--rows", nargs="*", default=[*ROWS], metavar="NAME", help="default: all")
    parser.add_argument("--groups", nargs="*", default=[*GROUPS], choices=GROUPS, help="default: all")
    args = parser.parse_args()
    for domain in (*DRAWN, *DRAWN_TARGETS):
        read(get_cfg(), domain)  # renders it unless it exists
    tasks = [
        Task(args.output, name, ROWS[name], group, shortened(name, GROUPS[group]), 0, PATHS, SITE_IMAGES)
        for group in args.groups
        for name in args.rows
    ]
    write_page(run_all(tasks, "recipe", args.jobs))


def shortened(name, group):
    return group._replace(steps=round(group.steps * OF_DOMAINS.get(name, lambda k: 1)(len(group.sources))))


def write_page(records):
    """Write the page above its hand-written section; ``records`` are as people_rows.py reads them."""
    results, parts = Results(records), []
    for name, group in GROUPS.items():
        places = [(name, target) for target in group.targets]
        parts += [
            f"## {name.capitalize()}\n\n{rows_table(results, places)}",
            f"The same weights along other paths:\n\n{paths_table(results, places)}",
            *(
                f"What {n} unlabelled images of each camera add:\n\n{adapted_table(results, places, n)}"
                for n in SITE_IMAGES
            ),
        ]
    head = (
        f"# Which way to train is best\n\n{written_by('does_it_work/recipe.py')}\n"
        "Every row was trained once: on photographs of CUHK03's second pair of cameras and CUHK01, tested on CUHK03's\n"
        'pairs 3 to 5; and on three synthetic domains of rendered people ("drawings"), tested on eight others. These\n'
        "are the development domains: no other page tests on these targets. ± is half of the 95 % interval: a paired\n"
        "bootstrap over the queried people for photographs, t over domains for drawings. In the columns MEAN_OF path,\n"
        "only the row is tested along that path, not the control.\n"
        '"Trained" is the share of training images classified correctly in the last tenth of the steps. In tables of\n'
        "unlabelled images, the number in brackets is the gain on the worst domain."
    )
    write_above_reading(RESULTS / "recipe.md", "\n\n".join([head, *parts]) + "\n")


if __name__ == "__main__":
    main()
