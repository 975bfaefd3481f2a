"""How many images of a camera are enough to adapt to it? Writes results/sample_size.md.

    python projects/GDNorm/benchmarks/adapting/sample_size.py --output logs/demo

Uses the demo's rows, which `fastreid demo` trains. Adapts the baseline by features and the recommended network by norms
to eight synthetic domains, camera by camera, with 16 to 1,000 images of each camera, all of different people, and tests
on 100 other people. It takes about 15 minutes on two cores.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import numpy as np

import fastreid_gdnorm  # noqa: F401  patches fastreid before it is imported

# isort: split
from benchmarks.shared.pages import RESULTS, write_above_reading, written_by
from fastreid.data.datasets import DATASET_REGISTRY
from tabulate import tabulate
from tqdm import tqdm

from fastreid_gdnorm import FeatureExtractor
from fastreid_gdnorm.demo import ROWS
from fastreid_gdnorm.evaluation import interval
from fastreid_gdnorm.evaluation.camera_offset_hook import following_offsets
from fastreid_gdnorm.evaluation.kept_images import KeptTest
from fastreid_gdnorm.inference import unlabelled
from fastreid_gdnorm.inference.adaptation import Adapter, adapt_site
from fastreid_gdnorm.inference.offset_adaptation import learn_offsets
from fastreid_gdnorm.inference.unlabelled import by_camera, site_images
from fastreid_gdnorm.modeling.chosen_paths import CameraPaths
from fastreid_gdnorm.rendered.dataset import drawn_domain
from fastreid_gdnorm.rendered.plan import Plan
from fastreid_gdnorm.runs.run_checkpoints import load_model
from fastreid_gdnorm.runs.run_folder import load_run_config

PAGE = RESULTS / "sample_size.md"
PLAN, PREFIX, SEEDS = Plan(train_ids=1000, test_ids=100, images_per_id=4), "ManyPeople", range(500, 508)
SIZES, REFERENCE = (16, 64, 256, 1000), 256
RUNS = {"features": "baseline", "norms": "recommended"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("logs/demo"), help="default: %(default)s")
    args = parser.parse_args()
    unlabelled.MOST_IMAGES = max(SIZES)
    gains = {(way, n): [] for way in RUNS for n in SIZES}
    for seed in tqdm(SEEDS, "domains", disable=None):
        DATASET_REGISTRY.register(domain := drawn_domain(seed, PLAN, PREFIX))
        for way, row in RUNS.items():
            for n, gain in zip(SIZES, gains_on(domain.__name__, args.output / row, way)):
                gains[way, n].append(gain)
    write_above_reading(PAGE, page(gains))
    print(PAGE)


def gains_on(target, run, way):
    """The mAP that each of SIZES images of each camera add on a domain."""
    cfg = load_run_config(run)
    model = load_model(cfg)
    test = KeptTest(cfg, target, model.device)
    before = test(model)["mAP"]
    adapter = FeatureExtractor(run) if way == "features" else Adapter(run, batch_size=max(SIZES))
    cameras = by_camera(site_images([target], cfg))
    for n in SIZES:
        rng = np.random.default_rng(n)
        chosen = {camera: [own[place] for place in rng.permutation(len(own))[:n]] for camera, own in cameras.items()}
        records = [record for own in chosen.values() for record in own]
        if way == "features":
            with following_offsets(model, learn_offsets(adapter, records), run):
                yield test(model)["mAP"] - before
        else:
            with tempfile.TemporaryDirectory() as folder:
                site = adapt_site(adapter, records, chosen, Path(folder))
            paths = {camera: own.path for camera, own in site.cameras.items()}
            adapter.model.test_paths = [CameraPaths(paths, site.whole.path)]
            yield test(adapter.model)["mAP"] - before


def page(gains):
    lines = [
        [f"{ROWS[row]}, by {way}", f"{n:,}"]
        + ["{:+.1f} ± {:.1f}".format(*interval(gains[way, n]))]
        + ["{:+.1f} ± {:.1f}".format(*interval(np.subtract(gains[way, n], gains[way, REFERENCE])))]
        for way, row in RUNS.items()
        for n in SIZES
    ]
    table = tabulate(
        lines, ["", "images of each camera", "mAP", f"against {REFERENCE}"], tablefmt="github", disable_numparse=True
    )
    about = (
        f"{written_by('adapting/sample_size.py')}\n"
        f"What unlabelled images of each camera add to the demo's networks, on {len(SEEDS)} synthetic domains of four\n"
        "cameras. All images of a camera show different people, none of whom is in the test. ± is half of the 95 %\n"
        "interval over the domains."
    )
    return f"# How many images of a camera\n\n{about}\n\n{table}\n"


if __name__ == "__main__":
    main()
