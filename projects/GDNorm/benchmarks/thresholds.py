"""How far a threshold found on one drawn domain holds on another: writes results/thresholds.md.

    python projects/GDNorm/benchmarks/thresholds.py --output logs/thresholds

Two of the demo's methods are trained for 40 epochs in place of 6, on three domains. On the test identities of all five
domains, which no model has seen, a threshold is found as by `fastreid calibrate`, and put on the others. Finished runs
are kept. It takes about 20 minutes on two cores, nearly all of it training.
"""

import argparse
import datetime
from pathlib import Path

from measure import machine, write_above_reading
from tabulate import tabulate

from fastreid_gdnorm import FeatureExtractor
from fastreid_gdnorm.demo import CONFIGS
from fastreid_gdnorm.inference.labelled import labelled_images
from fastreid_gdnorm.inference.thresholds import choose_images, find_threshold, label_pairs
from fastreid_gdnorm.rendered import RENDERED_DOMAINS
from fastreid_gdnorm.runs.config import load_config, shipped
from fastreid_gdnorm.runs.methods import METHODS
from fastreid_gdnorm.runs.rows import train_row

RESULTS = Path(__file__).resolve().parent.parent / "results" / "thresholds.md"
ROWS = ("baseline", "gdnorm")
LONGER = "SOLVER.MAX_EPOCH 40 SOLVER.STEPS [25,35] SOLVER.CHECKPOINT_PERIOD 40 TEST.EVAL_PERIOD 40".split()
ASKED = (0.01, 0.001)
EXPECTED = """\
Written down before the first run. Between the domains that a model was trained on, whose test identities are new to
it, the achieved false-accept rate should lie within a factor of 2 or 3 of the stated one. On domains that it has never
seen, people look more alike to it, so a threshold found on a source should accept several times as many pairs of
different people as stated, and one found on an unseen domain should be too strict on the sources. GDNorm should do
better than the baseline at this, if its mean path is as indifferent to domains as it is meant to be."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("logs/thresholds"), help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    args = parser.parse_args()

    sources = load_config(f"{CONFIGS}/gdnorm.yml").DATASETS.NAMES
    domains = [*sources, *(one.__name__ for one in RENDERED_DOMAINS if one.__name__ not in sources)]
    parts = []
    for method in ROWS:
        run = args.output / method
        row = train_row(run, shipped(f"{CONFIGS}/{method}.yml"), args.seed, LONGER).run(METHODS[method])
        pairs = {domain: pairs_of(run, domain) for domain in domains}
        metrics = ", ".join(f"{target} {found['mAP']:.1f}" for target, found in row["results"].items())
        parts.append(f"## {METHODS[method]} (mAP: {metrics})")
        parts += [table(pairs, sources, asked, FeatureExtractor(run).description) for asked in ASKED]
    write_above_reading(RESULTS, page(parts, sources, args.seed))
    print(RESULTS.read_text())


def pairs_of(run, domain):
    """The pairs of a domain's test images that evaluation counts."""
    records = choose_images(labelled_images(domain, run)[0])
    extractor = FeatureExtractor(run)
    columns = ([getattr(record, field) for record in records] for field in ("identity", "camera"))
    pairs = label_pairs(extractor([record.path for record in records]), *columns, extractor.description.metric)
    return pairs.counted()


def table(pairs, sources, asked, description):
    """A row for each domain that the threshold is found on, a column for each that it is put on."""
    rows = []
    for found_on, own in pairs.items():
        score = find_threshold(own, asked, description, 0, found_on).score
        cells = [accepts(others, score) for others in pairs.values()]
        rows.append([name(found_on, sources), f"{score:.3f}", *cells])
    headers = ["found on", "score", *(name(domain, sources) for domain in pairs)]
    title = f"Stated: {100 * asked:g} % of the pairs of different people. Achieved, with the share of right accepts:"
    return f"{title}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}"


def accepts(pairs, score):
    is_accepted = pairs.scores >= score
    false, true = (100 * is_accepted[of].mean() for of in (~pairs.is_same, pairs.is_same))
    return f"{false:.2g} % ({true:.0f} %)"


def name(domain, sources):
    short = domain.replace("Rendered", "")
    return short if domain in sources else f"{short} (unseen)"


def page(parts, sources, seed):
    about = (
        f"Written by `python projects/GDNorm/benchmarks/thresholds.py` on {datetime.date.today()}, {machine('cpu')}.\n"
        f"Small networks trained from scratch on {', '.join(sources)} for 1,200 steps, seed {seed}.\n"
        "Each domain has 40 test identities and 320 images, which give 49,920 pairs of different people and 960 pairs\n"
        "of one person in two cameras."
    )
    return "\n\n".join(["# A threshold on other domains", about, f"## Expected\n\n{EXPECTED}", *parts]) + "\n"


if __name__ == "__main__":
    main()
