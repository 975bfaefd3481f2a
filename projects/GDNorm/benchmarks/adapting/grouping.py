"""Does `fastreid group` find people better than plain clustering? Writes results/grouping.md and grouping.csv.

    export FASTREID_DATASETS=DIR
    python projects/GDNorm/benchmarks/adapting/grouping.py --output logs/photographs

data/photographs.py fills DIR. Takes the networks "baseline, balanced batches" of does_it_work/photographs_evidence.py
out of --output, and trains those that are missing. On each domain, a threshold is found on labelled images, like
`fastreid calibrate` does. Then images of other people, and tracks of them, are grouped in several ways. It takes about
ten minutes on two cores if no network is missing.
"""

import argparse
import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import numpy as np
import torch
from benchmarks.data import photograph_domains  # noqa: F401  registers its data sets
from benchmarks.does_it_work import photographs_evidence as evidence
from benchmarks.does_it_work.people_rows import Group, Task, train_row
from benchmarks.shared.pages import RESULTS, write_above_reading, written_by
from fastreid.config import get_cfg
from fastreid.utils.compute_dist import compute_jaccard_distance
from sklearn.cluster import HDBSCAN, AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score, pair_confusion_matrix
from tabulate import tabulate

from fastreid_gdnorm import FeatureExtractor
from fastreid_gdnorm.data import read
from fastreid_gdnorm.inference.grouping import group
from fastreid_gdnorm.inference.pairs import ACROSS, WITHIN, lowest_score
from fastreid_gdnorm.inference.thresholds import label_pairs

ROW = "baseline, balanced batches"
DEVELOPMENT = Group((evidence.PAIR2, evidence.CUHK01), (evidence.PAIRS3TO5,), 1000)
DEVELOPMENT_DRAWN = tuple(f"RenderedDraw{seed}" for seed in range(5100, 5103))
RUNS = {  # {title: (group of the run, domains to group)}
    "pair 1": ("pair 1", (evidence.PAIR1,)),
    "pair 2": ("pair 2", (evidence.PAIR2,)),
    "CUHK01": ("CUHK01", (evidence.CUHK01,)),
    "12 synthetic domains": ("drawings", evidence.DRAWN_TARGETS),
    "development: pairs 3 to 5": ("development", (evidence.PAIRS3TO5,)),
    "development: 3 synthetic domains": ("drawings", DEVELOPMENT_DRAWN),
}
FALSE_ACCEPT, PEOPLE, AT_ONCE = 0.01, 200, 5
METRICS = ("precision", "recall", "F1", "ARI")
COLUMNS = ("domains", "domain", "units", "way", *METRICS)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("logs/photographs"), help="default: %(default)s")
    args = parser.parse_args()
    torch.set_num_threads(1)
    records = []
    for title, (name, domains) in RUNS.items():
        its_group = DEVELOPMENT if name == "development" else evidence.GROUPS[name]
        task = Task(args.output, ROW, evidence.ROWS[ROW], name, its_group, 0, (), ())
        train_row(task)
        extractor = FeatureExtractor(task.run, device="cpu")
        for domain in domains:
            for units, way, labels, people in grouped(extractor, domain):
                records.append([title, domain, units, way, *agreement(people, labels)])
    with open(RESULTS / "grouping.csv", "w", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)
        lines.writerows([*record[:4], *(f"{value:.2f}" for value in record[4:])] for record in records)
    write_above_reading(RESULTS / "grouping.md", page(records))


def grouped(extractor, domain):
    """(units, way, labels, identities) of every way to group a domain's images and tracks."""
    data = read(get_cfg(), domain)
    labelled, *known = columns(extractor, data.read_site() if hasattr(data, "read_site") else data.train)
    pairs = label_pairs(labelled, *known, "cosine")
    common = lowest_score(pairs.counted(), FALSE_ACCEPT)
    within, across = (lowest_score(pairs.of_cameras(kind), FALSE_ACCEPT) for kind in (WITHIN, ACROSS))

    def score_for(one, other):
        return within if one == other else across

    features, people, cameras = columns(extractor, some_people(data.query + data.gallery))
    alone, tracks = [""] * len(people), people  # a person's images in one camera are one track
    _, of = np.unique(np.char.add(np.char.add(people, " "), cameras), return_inverse=True)
    first = np.unique(of, return_index=True)[1]
    means = np.stack([features[of == track].mean(0) for track in range(len(first))])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    yield "images", "fastreid group", group(features, cameras, alone, alone, score_for), people
    of_pairs = jaccard_threshold(labelled, known[0])
    for way, labels in plain_ways(features, common, of_pairs):
        yield "images", way, labels, people
    for way, times in (("fastreid group, times unknown", alone), ("fastreid group", spans(of, cameras))):
        yield "tracks", way, group(features, cameras, tracks, times, score_for)[first], people[first]
    for way, labels in plain_ways(means, common, of_pairs):
        yield "tracks", way, labels, people[first]


def plain_ways(features, score, jaccard_score):
    """(way, labels) of clusterings that know neither cameras nor times."""
    distances = np.maximum(1 - features @ features.T, 0).astype(np.float64)
    jaccard = jaccard_distances(features)
    for linkage in ("complete", "average"):
        yield f"agglomerative, {linkage} linkage", agglomerative(distances, linkage, 1 - score)
        yield f"agglomerative, {linkage} linkage, k-reciprocal", agglomerative(jaccard, linkage, jaccard_score)
    yield "HDBSCAN", without_noise(HDBSCAN(min_cluster_size=2, copy=True).fit_predict(features))
    hdbscan = HDBSCAN(min_cluster_size=2, metric="precomputed", copy=True)
    yield "HDBSCAN, k-reciprocal", without_noise(hdbscan.fit_predict(jaccard))


def agglomerative(distances, linkage, cut):
    how = {"n_clusters": None, "metric": "precomputed", "linkage": linkage, "distance_threshold": cut}
    return AgglomerativeClustering(**how).fit_predict(distances)


def jaccard_distances(features):
    """Distances (N, N) by k-reciprocal neighbours, as fast-reid computes them."""
    found = compute_jaccard_distance(torch.from_numpy(np.float32(features)), search_option=3)
    found = np.maximum(found + found.T, 0).astype(np.float64) / 2
    np.fill_diagonal(found, 0)
    return found


def jaccard_threshold(features, people):
    """The k-reciprocal distance that a share FALSE_ACCEPT of the pairs of different people is below."""
    return np.quantile(jaccard_distances(features)[people[:, None] != people], FALSE_ACCEPT)


def without_noise(labels):
    """The labels, with every image that HDBSCAN calls noise as a cluster of its own."""
    noise = labels < 0
    return np.where(noise, labels.max() + 1 + np.cumsum(noise), labels)


def columns(extractor, items):
    """Features (N, D), identities and cameras of a data set's items; every distractor is a person of its own."""
    items = [item for item in items if item[1] != -1]
    people = [f"distractor {place}" if item[1] == 0 else str(item[1]) for place, item in enumerate(items)]
    return extractor([item[0] for item in items]), np.array(people), np.array([str(item[2]) for item in items])


def some_people(items):
    """The items of at most PEOPLE people, and all distractors."""
    people = np.unique([item[1] for item in items if item[1] > 0])
    chosen = {0, *np.random.default_rng(0).permutation(people)[:PEOPLE].tolist()}
    return [item for item in items if item[1] in chosen]


def spans(track, cameras):
    """Random times of images, so that about AT_ONCE tracks of a camera are seen at once."""
    rng, starts = np.random.default_rng(0), {}
    tracks_of = {camera: len(np.unique(track[cameras == camera])) for camera in np.unique(cameras)}
    times = []
    for number, camera in zip(track.tolist(), cameras):
        if number in starts:  # its images after the first are at its end
            times.append(f"{starts[number] + AT_ONCE / tracks_of[camera]:.6f}")
        else:
            starts[number] = rng.random()
            times.append(f"{starts[number]:.6f}")
    return times


def agreement(people, labels):
    """Pairwise precision, recall and F1, and the adjusted Rand index, in percent."""
    (_, false), (missed, true) = pair_confusion_matrix(people, labels).astype(float)
    shares = (true / max(1, true + extra) for extra in (false, missed, (false + missed) / 2))
    return [100 * value for value in (*shares, adjusted_rand_score(people, labels))]


def page(records):
    about = (
        f"{written_by('adapting/grouping.py')}\n"
        "Small networks (MobileNetV2 of half width, 64x32), each trained on other domains than it is tested on. The\n"
        f"threshold accepts {100 * FALSE_ACCEPT:g} % of the pairs of different people among labelled images of the\n"
        f"same cameras. The images of at most {PEOPLE} other people are grouped; a synthetic domain adds 40\n"
        "strangers. A track is a person's images in one camera. Times are random, so that a camera sees about\n"
        f"{AT_ONCE} tracks at once. Precision, recall and F1 count pairs; ARI is the adjusted Rand index. All are\n"
        "percentages, averaged over the domains."
    )
    parts = [f"# Identities out of crops\n\n{about}"]
    for units in ("tracks", "images"):
        parts.append(f"## {units.capitalize()}")
        for title in RUNS:
            of = [record for record in records if record[0] == title and record[2] == units]
            ways = dict.fromkeys(record[3] for record in of)
            means = {way: np.mean([record[4:] for record in of if record[3] == way], axis=0) for way in ways}
            rows = [[way, *(f"{value:.1f}" for value in values)] for way, values in means.items()]
            table = tabulate(rows, ["", *METRICS], tablefmt="github", disable_numparse=True)
            parts.append(f"### {title[0].upper() + title[1:]}\n\n{table}")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
