"""Does GDNorm beat both controls on Market-1501, MSMT17 and CUHK03? Writes results/real.md.

    python projects/GDNorm/benchmarks/does_it_work/real.py --output logs/real

Needs a GPU and the three data sets (`fastreid datasets`). Each data set is the target of models that are trained on the
two others, from ImageNet, as section 4.2 of the paper describes. The 21 trainings pass about 51 million images of
384x128 through the network: 14 hours on a GPU that trains ResNet-50 on 1,000 of them per second. Finished rows are
kept, and an interrupted run resumes. KEY VALUE ... apply to every row; the controls multiply the steps and batches that
they set.
"""

import argparse
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import numpy as np
import torch
from benchmarks.shared.pages import RESULTS, write_above_reading, written_by
from tabulate import tabulate

from fastreid_gdnorm.data import read
from fastreid_gdnorm.runs import files
from fastreid_gdnorm.runs.experiments import eval_row, train_row
from fastreid_gdnorm.runs.run_config import load_config, shipped

PAGE = RESULTS / "real.md"
DATA = {"Market-1501": "DGMarket1501", "MSMT17": "DGMSMT17", "CUHK03": "DGCUHK03"}
SITE_IMAGES = 64
CONFIGS = "projects/GDNorm/configs/protocol2/to-market"
ROWS = {  # config, overrides, factor on the epochs, factor on the batch
    "baseline": ("baseline", [], 1, 1),
    "baseline, twice the steps": ("baseline", [], 2, 1),
    "baseline, twice the batch": ("baseline", [], 1, 2),
    "baseline, balanced batches": ("balanced", [], 1, 1),
    "branches only (E)": ("branches", [], 1, 1),
    "GDNorm, variance (E+S)": ("gdnorm", [], 1, 1),
    "GDNorm, std": ("gdnorm", ["MODEL.GDNORM.NOISE", "std"], 1, 1),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("logs/real"), help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="overrides for every row")
    args = parser.parse_args()
    found = {}
    for target in DATA:
        sources = tuple(name for label, name in DATA.items() if label != target)
        data = ["DATASETS.NAMES", str(sources), "DATASETS.TESTS", f"('{DATA[target]}',)"]
        for name, (config, own, longer, larger) in ROWS.items():
            file = shipped(f"{CONFIGS}/{config}.yml")
            overrides = [*args.opts, *data, *own]
            overrides += schedule(load_config(file, overrides), longer, larger)
            folder = args.output / target / name.replace(" ", "_").replace(",", "")
            title = f"{name}, to {target}"
            trained = train_row(folder / "run", file, args.seed, overrides).run(title)["results"]
            found[name, "as trained", target] = trained[DATA[target]]
            for path, result in other_paths(folder, config, DATA[target], title):
                found[name, path, target] = result[DATA[target]]
    write_above_reading(PAGE, page(found))


def schedule(cfg, longer, larger):
    """Overrides for ``longer`` times the epochs and ``larger`` times the batch."""
    solver = cfg.SOLVER
    epochs, steps = longer * solver.MAX_EPOCH, [longer * step for step in solver.STEPS]
    words = ["SOLVER.MAX_EPOCH", epochs, "SOLVER.STEPS", steps, "TEST.EVAL_PERIOD", epochs]
    return [*words, "SOLVER.IMS_PER_BATCH", larger * solver.IMS_PER_BATCH]


def other_paths(folder, config, target, title):
    """Test the same weights with MEAN_OF path, if they have branches, and adapted to some images."""
    run = folder / "run"
    test = run / files.CONFIG, run / files.FINAL
    if config in ("branches", "gdnorm"):
        row = eval_row(folder / "mean_of_path", *test, ["MODEL.GDNORM.MEAN_OF", "path"])
        yield "MEAN_OF path", row.run(f"{title}, MEAN_OF path")["results"]
    site = folder / "site"
    if not site.is_dir():
        images = [item[0] for item in read(load_config(run / files.CONFIG), target).train]
        chosen = np.random.default_rng(0).permutation(len(images))[:SITE_IMAGES]
        adapt = [sys.executable, "-m", "fastreid_gdnorm", "adapt", "--model", run, "--output", site]
        adapt += ["--by", "norms", "--images"]
        subprocess.run([*adapt, *(images[place] for place in chosen)], check=True)
    row = eval_row(folder / "adapted", *test, path=f"posterior:{site}")
    yield f"by {SITE_IMAGES} images", row.run(f"{title}, adapted")["results"]


def page(found):
    """The page without its hand-written section; ``found`` is {(row, network, target): metrics}."""
    table = []
    for name, network in dict.fromkeys((name, network) for name, network, _ in found):
        metrics = [found[name, network, target] for target in DATA]
        average = np.mean([of["mAP"] for of in metrics])
        cells = [f"{of['Rank-1']:.1f} / {of['mAP']:.1f}" for of in metrics]
        table.append([name, network, *cells, f"{average:.1f}"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    headers = ["row", "network", *(f"{target}, R1 / mAP" for target in DATA), "mAP, average"]
    return (
        "# Does it work on real data?\n\n"
        f"{written_by('does_it_work/real.py', device)}\n"
        f"Each data set is the target of models trained on the two others.\n\n"
        f"{tabulate(table, headers, tablefmt='github', disable_numparse=True)}\n"
    )


if __name__ == "__main__":
    main()
