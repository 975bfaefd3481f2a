"""The demo's rows over several seeds, with two controls: writes the tables of results/demo.md.

    python projects/GDNorm/benchmarks/demo_seeds.py --output logs/demo_seeds

Finished runs are kept, so the script can be stopped and started again. A seed takes about 9 minutes on two cores.
"""

import argparse
import datetime
import platform
import statistics
from pathlib import Path

import torch
from measure import write_above_reading

import fastreid_gdnorm  # noqa: F401
from fastreid_gdnorm.demo import CONFIGS
from fastreid_gdnorm.evaluation import METRICS
from fastreid_gdnorm.report.tables import results_table
from fastreid_gdnorm.runs.config import load_config, shipped
from fastreid_gdnorm.runs.rows import train_row

RESULTS = Path(__file__).resolve().parent.parent / "results" / "demo.md"


def rows(cfg):
    """{row: (config, overrides)}; ``cfg`` is the demo's."""
    epochs, target = cfg.SOLVER.MAX_EPOCH, cfg.DATASETS.TESTS[0]
    sources = len(cfg.DATASETS.NAMES)

    def longer(factor):
        steps = [factor * step for step in cfg.SOLVER.STEPS]
        return ["SOLVER.MAX_EPOCH", factor * epochs, "SOLVER.STEPS", steps, "TEST.EVAL_PERIOD", factor * epochs]

    return {
        "baseline": ("baseline.yml", []),
        "baseline, balanced batches": ("balanced.yml", []),
        "baseline, as many image passes as GDNorm": ("baseline.yml", longer(2)),
        "branches only": ("branches.yml", []),
        "GDNorm": ("gdnorm.yml", []),
        f"for comparison: baseline trained on {target} itself": (
            "baseline.yml",
            ["DATASETS.NAMES", f"('{target}',)", *longer(sources)],
        ),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("logs/demo_seeds"), help="default: %(default)s")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: %(default)s")
    args = parser.parse_args()

    cfg = load_config(f"{CONFIGS}/gdnorm.yml")
    plan = rows(cfg)
    found = {name: [] for name in plan}
    for seed in args.seeds:
        for number, (name, (config, overrides)) in enumerate(plan.items()):
            run = args.output / f"row{number}_seed{seed}"
            title = f"seed {seed}: {name}"
            row = train_row(run, shipped(f"{CONFIGS}/{config}"), seed, overrides).run(title)
            found[name].append({**row["results"][cfg.DATASETS.TESTS[0]], "seconds": row["seconds"]})
    write_above_reading(RESULTS, page(cfg, found, args.seeds))
    print(RESULTS.read_text())


def page(cfg, found, seeds):
    """The results page; ``found`` is {row: [results of each seed]}."""
    columns = (*METRICS, "seconds")

    def table(of):
        return results_table(
            {n: {c: of([run[c] for run in runs]) for c in columns} for n, runs in found.items()}, columns
        )

    return f"""# The demo over {len(seeds)} seeds

The sources are {", ".join(cfg.DATASETS.NAMES)}. The target is {", ".join(cfg.DATASETS.TESTS)}, which only the last
row has trained on. Each run is tested once, at the end of training.

Mean over seeds {", ".join(map(str, seeds))}:

{table(statistics.mean)}

Standard deviation:

{table(statistics.stdev if len(seeds) > 1 else lambda values: 0.0)}

Measured with `python projects/GDNorm/benchmarks/demo_seeds.py --seeds {" ".join(map(str, seeds))}`
on {datetime.date.today()}, Python {platform.python_version()}, torch {torch.__version__},
{torch.get_num_threads()} CPU threads.
"""


if __name__ == "__main__":
    main()
