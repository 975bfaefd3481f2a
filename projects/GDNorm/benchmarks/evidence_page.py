"""From the tests' records to results/evidence.md and evidence.png."""

import datetime
from collections import defaultdict

import numpy as np
from matplotlib.figure import Figure
from measure import machine, write_above_reading
from posterior_page import RESULTS, interval, label
from tabulate import tabulate

PLAIN, CONTROL, GDNORM = "baseline", "baseline, twice the steps", "GDNorm, variance (E+S)"
MEAN = "mean:affine"


def write_page(records):
    """Write the page above its hand-written part, below what was registered, and the figure.

    Args:
        records: {"row", "sources", "seed", "target", "path", "n", "draw", metrics} of every test.
    """
    file = RESULTS / "evidence.md"
    registered = file.read_text().split("## Registered\n\n")[1].split("\n\n## ")[0].strip()
    mAP, rank1 = (average(records, metric) for metric in ("mAP", "Rank-1"))
    sizes = sorted({size for size, _ in mAP})
    parts = [
        "# Does it work?",
        f"Written by `python projects/GDNorm/benchmarks/evidence.py` on {datetime.date.today()}, {machine('cpu')}.\n"
        f"Trainings: {len({(r['row'], r['sources'], r['seed']) for r in records})}; tests: {len(records)}; "
        f"unseen drawn domains: {len({r['target'] for r in records})}. ± is half of the 95 % interval of the average\n"
        "over these domains (t; of each the average over the seeds). Differences are paired by domain.",
        f"## Registered\n\n{registered}",
    ]
    for size in sizes:
        parts.append(f"## Trained on {size} domains\n\n{rows_table(size, mAP, rank1)}")
    parts.append("![Differences from the control](evidence.png)")
    for size in sizes:
        parts += [
            f"## Paths through the same weights: {row}, {size} sources\n\n{paths_table(paths)}"
            for (of_size, row), paths in mAP.items()
            if of_size == size and "instance" in paths
        ]
    write_above_reading(file, "\n\n".join(parts) + "\n")
    save_figure(RESULTS / "evidence.png", mAP, sizes)


def average(records, metric):
    """{(sources, row): {what a table calls a path: values of all targets}}; "" is the path of a row's own test."""
    values = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for record in records:
        path = label(record["path"], record["n"])
        if record["path"].startswith(("source", "sample")):
            path = {"source": "one source, average", "sample": "sampled, average"}[record["path"].split(":")[0]]
        values[record["sources"], record["row"]][path][record["target"]].append(record[metric])
    found = {}
    for key, paths in values.items():
        found[key] = {path: np.array([np.mean(own[t]) for t in sorted(own)]) for path, own in paths.items()}
        own = label("as trained", 0)
        found[key][""] = found[key][own if own in found[key] else label(MEAN, 0)]
    return found


def change(values, reference):
    """Average difference, paired by domain, with its interval."""
    if values is reference:
        return ""
    difference, half = interval(values - reference)
    return f"{difference:+.1f} ± {half:.1f}"


def rows_table(size, mAP, rank1):
    """A row for each way to train, against both controls and GDNorm."""
    table = []
    for (of_size, row), paths in mAP.items():
        if of_size == size:
            own = paths[""]
            against = (change(own, mAP[size, other][""]) for other in (PLAIN, CONTROL, GDNORM) if (size, other) in mAP)
            table.append([row, f"{rank1[size, row][''].mean():.1f}", f"{own.mean():.1f}", *against])
    headers = ["row", "R1", "mAP", "against the baseline", "against twice the steps", "against GDNorm"]
    return tabulate(table, headers, tablefmt="github", disable_numparse=True)


def paths_table(paths):
    """A row for each path, against the mean path."""
    mean = paths[label(MEAN, 0)]
    table = [
        [path, f"{values.mean():.1f}", change(values, mean), f"{(values - mean).min():+.1f}"]
        for path, values in paths.items()
        if path
    ]
    headers = ["path", "mAP", "against the mean path", "worst domain"]
    return tabulate(table, headers, tablefmt="github", disable_numparse=True)


def save_figure(file, mAP, sizes):
    """A panel for each K: every row's difference from the control with its interval."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    for axes, size in zip(figure.subplots(1, len(sizes), squeeze=False)[0], sizes):
        rows = [row for of_size, row in mAP if of_size == size and row != CONTROL]
        for place, row in enumerate(reversed(rows)):
            difference, half = interval(mAP[size, row][""] - mAP[size, CONTROL][""])
            axes.errorbar(difference, place, xerr=half, fmt="o", color="tab:blue", capsize=3)
        axes.axvline(0, color="black", linewidth=1)
        axes.set_yticks(range(len(rows)), rows[::-1])
        axes.set(xlabel=f"mAP against {CONTROL}", title=f"trained on {size} domains")
        axes.grid(alpha=0.3, axis="x")
    figure.savefig(file, dpi=130)
