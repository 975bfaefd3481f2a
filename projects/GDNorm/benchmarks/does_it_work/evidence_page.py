"""Turns the test records in results/evidence.csv into results/evidence.md and evidence.png."""

import csv
from collections import defaultdict
from operator import itemgetter

import numpy as np
from benchmarks.shared.pages import RESULTS, label, section, write_above_reading, written_by
from matplotlib.figure import Figure
from tabulate import tabulate

from fastreid_gdnorm.evaluation import interval

METRICS = ("mAP", "Rank-1")
TEXTS, NUMBERS = ("row", "group", "target", "path"), ("seed", "n", "draw")
COLUMNS = {**dict.fromkeys(TEXTS, str), **dict.fromkeys(NUMBERS, int), **dict.fromkeys(METRICS, float)}
PLAIN, CONTROL, GDNORM = "baseline", "baseline, twice the steps", "GDNorm, variance (E+S)"
MEAN = "mean:affine"
OTHERS = (label("mean:statistics", 0), label("mean:path", 0), label("posterior", 16))


def of_row(record):
    """The training that a test record belongs to."""
    return record["row"], record["group"], record["seed"]


def read_records(name, columns=COLUMNS):
    """The records in results/``name``.csv, each as {column: value}.

    Args:
        columns: {column: function from text to value}.
    """
    file = RESULTS / f"{name}.csv"
    if not file.is_file():
        return []
    with open(file, newline="") as lines:
        return [{key: kind(line[key]) for key, kind in columns.items()} for line in csv.DictReader(lines)]


def write_records(records, name):
    with open(RESULTS / f"{name}.csv", "w", newline="") as file:
        lines = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        lines.writeheader()
        lines.writerows({**record, **{metric: f"{record[metric]:.4f}" for metric in METRICS}} for record in records)


def largest_differences(kept, new):
    """A table of how far each row's new tests differ from its kept ones."""
    key = itemgetter("row", "group", "seed", "target", "path", "n", "draw")
    before, largest = {key(record): record for record in kept}, defaultdict(float)
    for record in new:
        difference = abs(round(record["mAP"], 4) - before[key(record)]["mAP"])
        largest[of_row(record)] = max(largest[of_row(record)], difference)
    rows = [[*row, f"{difference:.4f}"] for row, difference in largest.items()]
    return tabulate(rows, ["row", "group", "sources", "largest difference, mAP"], disable_numparse=True)


def write_page(records, name):
    """Write the records, the page around its hand-written sections, and the figure.

    Args:
        records: {"row", "group", "seed", "target", "path", "n", "draw", metrics} of every test.
        name: Name of the page.
    """
    write_records(records, name)
    file = RESULTS / f"{name}.md"
    answers, registered = (section(RESULTS / "evidence.md", title) for title in ("Answers", "Registered"))
    mAP, rank1 = (average(records, metric) for metric in ("mAP", "Rank-1"))
    groups = list(dict.fromkeys(group for group, _ in mAP))
    parts = [
        "# Does it work?",
        f"{written_by('does_it_work/evidence.py')}\n"
        f"Trainings: {len({(r['row'], r['group'], r['seed']) for r in records})}; tests: {len(records)}; "
        f"unseen synthetic domains: {len({r['target'] for r in records})}. ± is half of the 95 % interval of the\n"
        "average over these domains (t; each domain's value is its average over the sets of sources). Differences are\n"
        "paired by domain and sources.",
        f"## Answers\n\n{answers}",
        f"## Registered\n\n{registered}",
    ]
    for group in groups:
        parts.append(f"## Trained on {group}\n\n{rows_table(group, mAP, rank1)}")
        parts.append(
            f"The same weights along other paths, mAP and difference from the baseline:\n\n{others_table(group, mAP)}"
        )
    parts.append(f"![Differences from the control]({name}.png)")
    parts += [
        f"## Paths through the same weights: {row}, {group}\n\n{paths_table(paths)}"
        for (group, row), paths in mAP.items()
        if "instance" in paths
    ]
    write_above_reading(file, "\n\n".join(parts) + "\n")
    save_figure(RESULTS / f"{name}.png", mAP, groups)


def average(records, metric):
    """{(group, row): {name of a path: {seed: values of all targets}}}; "" is the path that the row itself tests."""
    values = defaultdict(lambda: defaultdict(lambda: defaultdict(lambda: defaultdict(list))))
    for record in records:
        path = label(record["path"], record["n"])
        if record["path"].startswith(("source", "sample")):
            path = {"source": "one source, average", "sample": "sampled, average"}[record["path"].split(":")[0]]
        values[record["group"], record["row"]][path][record["seed"]][record["target"]].append(record[metric])
    found = {}
    for key, paths in values.items():
        found[key] = {
            path: {seed: np.array([np.mean(own[t]) for t in sorted(own)]) for seed, own in of_seeds.items()}
            for path, of_seeds in paths.items()
        }
        own = label("as trained", 0)
        found[key][""] = found[key][own if own in found[key] else label(MEAN, 0)]
    return found


def level(of_seeds):
    return f"{np.mean(list(of_seeds.values())):.1f}"


def differences(of_seeds, reference):
    """For every target, the difference averaged over the seeds that both have."""
    return np.mean([of_seeds[seed] - reference[seed] for seed in of_seeds if seed in reference], axis=0)


def change(of_seeds, reference):
    """The average difference, paired by domain and sources, with its interval."""
    if of_seeds is reference:
        return ""
    difference, half = interval(differences(of_seeds, reference))
    return f"{difference:+.1f} ± {half:.1f}"


def rows_table(group, mAP, rank1):
    """One line for each row, against both controls and GDNorm."""
    table = []
    for (of_group, row), paths in mAP.items():
        if of_group == group:
            own = paths[""]
            against = (
                change(own, mAP[group, other][""]) for other in (PLAIN, CONTROL, GDNORM) if (group, other) in mAP
            )
            table.append([row, len(own), level(rank1[group, row][""]), level(own), *against])
    headers = ["row", "runs", "R1", "mAP", "against the baseline", "against twice the steps", "against GDNorm"]
    return tabulate(table, headers, tablefmt="github", disable_numparse=True)


def others_table(group, mAP):
    """One line for each row, one column for each path that all branched rows are tested along."""
    table = []
    for (of_group, row), paths in mAP.items():
        if of_group == group:
            found = [paths.get(path) for path in OTHERS]
            reference = mAP[group, PLAIN][""]
            table.append([row, *(of and f"{level(of)} ({change(of, reference)})" for of in found)])
    return tabulate(table, ["row", *OTHERS], tablefmt="github", disable_numparse=True)


def paths_table(paths):
    """One line for each path, against the row's own test, for runs that were tested along all paths."""
    own, tested = paths[""], paths["instance"]
    table = []
    for path, of_seeds in paths.items():
        if path:
            values = {seed: of_targets for seed, of_targets in of_seeds.items() if seed in tested}
            table.append([path, level(values), change(values, own), f"{differences(values, own).min():+.1f}"])
    headers = ["path", "mAP", "against the row's own test", "worst domain"]
    return tabulate(table, headers, tablefmt="github", disable_numparse=True)


def save_figure(file, mAP, groups):
    """One panel for each group: every row's difference from the control, with its interval."""
    figure = Figure(figsize=(5.5 * len(groups), 6), layout="constrained")
    for axes, group in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups):
        rows = [row for of_group, row in mAP if of_group == group and row != CONTROL]
        for place, row in enumerate(reversed(rows)):
            difference, half = interval(differences(mAP[group, row][""], mAP[group, CONTROL][""]))
            axes.errorbar(difference, place, xerr=half, fmt="o", color="tab:blue", capsize=3)
        axes.axvline(0, color="black", linewidth=1)
        axes.set_yticks(range(len(rows)), rows[::-1])
        axes.set(xlabel=f"mAP against {CONTROL}", title=f"trained on {group}")
        axes.grid(alpha=0.3, axis="x")
    figure.savefig(file, dpi=130)
