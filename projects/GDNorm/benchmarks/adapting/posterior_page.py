"""Turns test records into results/posterior.md and posterior.png."""

from collections import defaultdict

import numpy as np
from benchmarks.shared.pages import RESULTS, label, section, write_above_reading, written_by
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from tabulate import tabulate

from fastreid_gdnorm.evaluation import interval
from fastreid_gdnorm.inference.adaptation_check import MIN_REPEATABILITY
from fastreid_gdnorm.runs.methods import METHODS

CANDIDATES = ("repeatability", "shift", "likeness", "separation", "recognition", "rank")


def write_page(records, development):
    """Write the page around its hand-written sections, and the figure.

    Args:
        records: {"method", "seed", "target", "path", "n", "draw", metrics} of every test.
        development: Seeds of the domains that the guard was chosen on.
    """
    tests = [record for record in records if not record["path"].startswith("guard")]
    guards = [record for record in records if record["path"].startswith("guard")]
    values = average(tests)
    expected = section(RESULTS / "posterior.md", "Expected")
    parts = [
        "# The posterior path",
        f"{written_by('adapting/posterior.py')}\n"
        f"Tests: {len(tests)}; synthetic domains: {len({record['target'] for record in tests})}; "
        f"seeds of training: {len({record['seed'] for record in tests})}.",
        f"## Expected\n\n{expected}",
        "## mAP\n\nAverages over domains and seeds, and the difference from the mean path (MEAN_OF affine) with the\n"
        "95 % interval of its average over domains (t; each domain's value is its average over seeds and sets of\n"
        "images).",
        *(f"### {METHODS[method]}\n\n{table(values[method])}" for method in values),
        "![mAP against the number of images](posterior.png)",
        "## The guard\n\n" + guard_text(guards, development),
    ]
    write_above_reading(RESULTS / "posterior.md", "\n\n".join(parts) + "\n")
    save_curves(RESULTS / "posterior.png", values)


def average(tests):
    """{method: {(path, n): mAP of every domain, averaged over seeds and draws}}."""
    values = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for record in tests:
        values[record["method"]][record["path"], record["n"]][record["target"]].append(record["mAP"])
    return {
        method: {key: np.array([np.mean(own[target]) for target in sorted(own)]) for key, own in of_method.items()}
        for method, of_method in values.items()
    }


def table(of_method):
    """One line for each path, in the order of the tests, then of n."""
    mean = of_method["mean:affine", 0]
    rows = []
    for (path, n), values in sorted(of_method.items(), key=in_order):
        difference, half = interval(values - mean)
        change = f"{difference:+.1f} ± {half:.1f}" if path != "mean:affine" else ""
        rows.append([label(path, n), f"{values.mean():.1f}", change, f"{(values - mean).min():+.1f}"])
    headers = ["path", "mAP", "against the mean path", "worst domain"]
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def in_order(item):
    """Sort key of ((path, n), values): paths that need no image first, then by n."""
    (path, n), _ = item
    return n > 0, path == "raw", n


def guard_text(guards, development):
    """How the candidates did on the domains that the guard was chosen on, and on the others."""
    rows = []
    for where, on_development in (("chosen on", True), ("tested on", False)):
        own = [record for record in guards if (record["target"] in development) == on_development]
        gains = np.array([record["gain"] for record in own])
        for name in CANDIDATES:
            values = np.array([record[name] for record in own])
            warns = values < (MIN_REPEATABILITY if name == "repeatability" else 0)
            rho = spearmanr(values, gains)[0] if values.std() else float("nan")
            hits, losses = int((warns & (gains < 0)).sum()), int((gains < 0).sum())
            rows.append([where, name, len(own), f"{rho:.2f}", f"{hits} of {losses}", int((warns & (gains >= 0)).sum())])
    headers = ["domains", "candidate", "sites", "rank correlation with the gain", "losses warned of", "gains warned of"]
    about = (
        "A guard is a check that warns if adapting to a site may lose mAP; the table compares candidates. A site is\n"
        "a set of unlabelled images of one synthetic domain: 64 at random, 64 of one camera, 16 of two people, or 4\n"
        "at random. The gain is the posterior path's mAP minus the mean path's. Repeatability warns below\n"
        f"{MIN_REPEATABILITY}, the others below 0. The guard was chosen on some domains and tested on others.\n"
        "`posterior_guards.py` says what each candidate measures."
    )
    return f"{about}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}"


def save_curves(file, values):
    """mAP against n: averages over domains, with bands for the difference from the mean path."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    panels = figure.subplots(1, len(values), sharey=True)
    for axes, (method, of_method) in zip(np.atleast_1d(panels), values.items()):
        mean = of_method["mean:affine", 0]
        axes.axhline(mean.mean(), color="black", linestyle="--", label="mean path")
        axes.axhline(of_method["instance", 0].mean(), color="tab:green", linestyle=":", label="instance")
        for path, colour in (("posterior", "tab:blue"), ("raw", "tab:orange")):
            numbers = sorted(n for name, n in of_method if name == path)
            averages = np.array([of_method[path, n].mean() for n in numbers])
            bands = np.array([interval(of_method[path, n] - mean)[1] for n in numbers])
            axes.plot(
                numbers, averages, marker="o", color=colour, label=path if path == "posterior" else "own statistics"
            )
            axes.fill_between(numbers, averages - bands, averages + bands, color=colour, alpha=0.15)
        axes.set(xscale="log", xlabel="images of the site", title=METHODS[method])
        numbers = sorted(n for name, n in of_method if name == "posterior")
        axes.set_xticks(numbers, [str(n) for n in numbers])
        axes.grid(alpha=0.3)
    np.atleast_1d(panels)[0].set_ylabel("mAP, average over domains and seeds")
    np.atleast_1d(panels)[-1].legend()
    figure.savefig(file, dpi=130)
