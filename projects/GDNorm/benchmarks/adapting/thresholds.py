"""Does a threshold that was found on a model's sources hold at unseen sites? Writes results/thresholds.md.

    python projects/GDNorm/benchmarks/adapting/thresholds.py --output logs/demo

Uses the demo's rows and trains them like `fastreid demo` if --output does not hold them. It finds a threshold like
`fastreid calibrate` on the test identities of the three sources, which no model has seen, and applies it to the demo's
twelve unseen domains. It does so without adaptation, and with camera offsets (`--site`) from 64 unlabelled images of
other people for each camera, on the sources and on the unseen domain. Finished runs are kept. It takes about five
minutes on two cores.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import numpy as np
from benchmarks.shared.pages import RESULTS, section, write_above_reading, written_by
from tabulate import tabulate

from fastreid_gdnorm import FeatureExtractor
from fastreid_gdnorm.demo import CONFIGS, ROWS, SOURCES, UNSEEN, render
from fastreid_gdnorm.evaluation import interval
from fastreid_gdnorm.inference.labelled import labelled_images
from fastreid_gdnorm.inference.offset_adaptation import learn_offsets
from fastreid_gdnorm.inference.pairs import lowest_score
from fastreid_gdnorm.inference.thresholds import choose_images, label_pairs
from fastreid_gdnorm.inference.unlabelled import by_camera, site_images
from fastreid_gdnorm.runs.experiments import run_side_by_side, train_row
from fastreid_gdnorm.runs.run_config import shipped
from fastreid_gdnorm.runs.run_folder import load_run_config

PAGE = RESULTS / "thresholds.md"
ASKED = (0.01, 0.001)
SITE_IMAGES = 64
WAYS = {"": "as the model is", "offsets": f"camera offsets, n = {SITE_IMAGES}"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("logs/demo"), help="default: %(default)s")
    args = parser.parse_args()
    render((*SOURCES, *UNSEEN))
    data = ["DATASETS.NAMES", str(SOURCES), "DATASETS.TESTS", str(UNSEEN[:2])]
    rows = {m: train_row(args.output / m, shipped(f"{CONFIGS}/{m}.yml"), 0, data) for m in ROWS}
    run_side_by_side({title: rows[method] for method, title in ROWS.items()})
    pairs = {method: pairs_of(args.output / method) for method in ROWS}
    parts = [f"## {100 * asked:g} %\n\n{table(pairs, asked)}" for asked in ASKED]
    write_above_reading(PAGE, page(parts))


def pairs_of(run):
    """{way: {domain: the pairs of test images that an evaluation counts}}."""
    extractor, cfg, found = FeatureExtractor(run), load_run_config(run), {way: {} for way in WAYS}
    for domain in (*SOURCES, *UNSEEN):
        records = choose_images(labelled_images(domain, run)[0])
        features = extractor([record.path for record in records])
        identities, cameras = ([getattr(record, field) for record in records] for field in ("identity", "camera"))
        for way, of_way in found.items():
            followed = offsets_of(extractor, cfg, domain)(features, cameras) if way else features
            of_way[domain] = label_pairs(followed, identities, cameras, "cosine").counted()
    return found


def offsets_of(extractor, cfg, domain):
    """Camera offsets from some training images of each of a domain's cameras."""
    rng, chosen = np.random.default_rng(0), []
    for own in by_camera(site_images([domain], cfg)).values():
        chosen += [own[place] for place in rng.permutation(len(own))[:SITE_IMAGES]]
    return learn_offsets(extractor, chosen)


def table(pairs, asked):
    """One line for each model and way: accepted shares with the sources' threshold and with a domain's own."""
    lines = []
    for method, of_ways in pairs.items():
        for way, of_domains in of_ways.items():
            different = np.concatenate([of_domains[domain].scores[~of_domains[domain].is_same] for domain in SOURCES])
            score = np.quantile(different, 1 - asked)
            false = [100 * accepted(of_domains[domain], score, False) for domain in UNSEEN]
            true = [100 * accepted(of_domains[domain], score, True) for domain in UNSEEN]
            own = [100 * accepted(of, lowest_score(of, asked), True) for of in (of_domains[name] for name in UNSEEN)]
            cells = [f"{min(false):.2f}", f"{np.median(false):.2f}", f"{max(false):.2f}"]
            cells += ["{:.1f} ± {:.1f}".format(*interval(values)) for values in (true, own)]
            lines.append([ROWS[method], WAYS[way], f"{score:.3f}", *cells])
    headers = ["", "features", "score", "false, least", "median", "most", "true", "true, own threshold"]
    return tabulate(lines, headers, tablefmt="github", disable_numparse=True)


def accepted(pairs, score, same):
    return float((pairs.scores[pairs.is_same == same] >= score).mean())


def page(parts):
    about = (
        f"{written_by('adapting/thresholds.py')}\n"
        f"The demo's models, trained on {SOURCES[0]} to {SOURCES[-1]},\n"
        f"tested on {UNSEEN[0]} to {UNSEEN[-1]}, which none of them has seen. On the sources, the\n"
        "threshold accepts the stated share of the pairs of different people. False accepts are a percentage of an\n"
        "unseen domain's pairs of different people, true accepts of its pairs that show one person in two cameras.\n"
        "A domain's own threshold accepts the stated share on that domain. n counts the images of each camera. ±\n"
        "is half of the 95 % interval over the domains."
    )
    expected = section(PAGE, "Expected")
    return "\n\n".join(["# A threshold at other sites", about, f"## Expected\n\n{expected}", *parts]) + "\n"


if __name__ == "__main__":
    main()
