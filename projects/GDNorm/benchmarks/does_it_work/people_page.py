"""Turns the test records in results/photographs.csv into results/photographs.md and photographs.png."""

from benchmarks.does_it_work.people_tables import Results, table
from benchmarks.shared.pages import RESULTS, label, section, write_above_reading, written_by
from matplotlib.figure import Figure

CONTROLS = ("baseline", "baseline, twice the batch")
TARGETS = ("pair 1", "pair 2", "CUHK01")  # groups of one target each; results are averaged over them
OWN = ("mean:path", "as trained")  # the references for adapting
OTHERS = ("mean:statistics", "mean:path", "ensemble")
ADAPTED = {
    "features": "{}, shrunk offsets",
    "features, not shrunk": "{}, raw offsets",
    "norms": "posterior of each camera",
}


def write_page(records, name="photographs"):
    """Write the page around its hand-written sections, and the figure.

    Args:
        records: The records as people_rows.py reads them.
    """
    file = RESULTS / f"{name}.md"
    results = Results(records)
    places = {}  # {group: its (group, target) in the order of the records}
    for record in records:
        places.setdefault(record["group"], {})[record["group"], record["target"]] = None
    everywhere = [place for group in TARGETS if group in places for place in places[group]]
    sizes = sorted({record["n"] for record in records if record["n"]})
    trainings = len({(record["row"], record["group"], record["seed"]) for record in records})
    parts = [
        "# What holds on photographs",
        f"{written_by('does_it_work/photographs_evidence.py', 'cuda' if 'cuda' in name else 'cpu')}\n"
        f"Trainings: {trainings}; tests: {len(records)}. ± is half of the 95 % interval: a paired bootstrap over the\n"
        'queried people, or t over the synthetic domains ("drawings"). Every row is averaged over its seeds. Rows\n'
        "with branches are tested along the mean path as printed (MEAN_OF affine), unless a column says MEAN_OF path.\n"
        '"Trained" is the share of training images classified correctly in the last tenth of the steps. In tables of\n'
        "unlabelled images, the number in brackets is the gain on the worst target.",
        f"## Answers\n\n{section(file, 'Answers')}",
        f"## Registered\n\n{section(file, 'Registered')}",
        *(f"## Trained for {group}\n\n{rows_table(results, of_group)}" for group, of_group in places.items()),
        f"## Over all three targets of photographs\n\n{rows_table(results, everywhere)}",
        *adapting_sections(results, everywhere, "the three targets", sizes),
        *adapting_sections(results, [*places.get("drawings", [])], "the synthetic domains", sizes),
        f"![Differences from the baseline]({name}.png)",
    ]
    write_above_reading(file, "\n\n".join(parts) + "\n")
    save_figure(RESULTS / f"{name}.png", results, everywhere)


def adapting_sections(results, places, where, sizes):
    """Other paths through the same weights, and what adapting adds to them; none without places."""
    if not places:
        return []
    return [
        f"## The same weights along other paths, over {where}\n\n{paths_table(results, places)}",
        *(
            f"## What {n} unlabelled images of each camera add, over {where}\n\n{adapted_table(results, places, n)}\n\n"
            f"Against twice the batch, adapted in the same way:\n\n{contest_table(results, places, n)}"
            for n in sizes
        ),
    ]


def rows_table(results, places):
    """One line for each row against both controls: along the mean path as printed, and with MEAN_OF path."""
    lines = []
    for row in results.rows():
        if results.value(row, "", places) is not None:
            shares = [share for group, _ in places for share in results.trained[row, group]]
            against = [results.cell(row, "", places, (control, "")) for control in CONTROLS]
            best = [results.cell(row, label("mean:path", 0), places, (control, "")) for control in CONTROLS]
            lines.append([row, f"{sum(shares) / len(shares):.0f}", results.cell(row, "", places), *against, *best])
    headers = [f"against {control}" for control in CONTROLS]
    return table(["row", "trained, %", "mAP", *headers, *(f"MEAN_OF path {words}" for words in headers)], lines)


def paths_table(results, places):
    """One line for each row with branches, one column for each path, against the mean path as printed."""
    lines = []
    for row in results.rows():
        cells = [results.cell(row, label(path, 0), places, (row, "")) for path in OTHERS]
        if any(cells):
            lines.append([row, results.cell(row, "", places), *cells])
    return table(["row", "mean path, MEAN_OF affine", *(label(path, 0) for path in OTHERS)], lines)


def contest_table(results, places, n):
    """Adapted rows against the stronger control, adapted in the same way; its own line has its mAP."""
    control, lines = CONTROLS[1], []
    for row in results.rows():
        own, of_control = own_path(results, row, places), own_path(results, control, places)
        if own and of_control:
            paths = [(label(path.format(own), n), label(path.format(of_control), n)) for path in ADAPTED.values()]
            against = [None if row == control else (control, theirs) for _, theirs in paths]
            lines.append([row, *(results.cell(row, path, places, o) for (path, _), o in zip(paths, against))])
    return table(["row", *ADAPTED], lines)


def own_path(results, row, places):
    """The best path of a row without images of the target, among OWN; None if it has no test there."""
    return next((path for path in OWN if results.value(row, label(path, 0), places) is not None), None)


def adapted_table(results, places, n):
    """What adapting adds to a row's best path without images; in brackets the worst target."""
    lines = []
    for row in results.rows():
        own = own_path(results, row, places)
        if own:
            line = [row, label(own, 0), results.cell(row, label(own, 0), places)]
            for path in ADAPTED.values():
                adapted, reference = label(path.format(own), n), (row, label(own, 0))
                each = [results.value(row, adapted, [place], reference) for place in places]
                worst = f" ({min(value[0] for value in each):+.2f})" if all(v is not None for v in each) else ""
                line.append(results.cell(row, adapted, places, reference) + worst)
            lines.append(line)
    return table(["row", "without images", "mAP", *ADAPTED], lines)


def save_figure(file, results, places):
    """One panel for each target: every row's difference from the baseline, as printed and with MEAN_OF path."""
    figure = Figure(figsize=(4.2 * len(places) + 2, 4.5), layout="constrained")
    rows = [row for row in results.rows() if row not in ("baseline", "the start itself")][::-1]
    for axes, place in zip(figure.subplots(1, len(places), sharey=True, squeeze=False)[0], places):
        for number, path in enumerate(("", label("mean:path", 0))):
            for height, row in enumerate(rows):
                value = results.value(row, path, [place], ("baseline", ""))
                if value is not None:
                    half, y = 1.96 * value[1:].std(), height + 0.2 * (0.5 - number)
                    axes.errorbar(value[0], y, xerr=half, fmt="os"[number], color=f"C{number}")
        axes.axvline(0, color="black", linewidth=1)
        axes.set_yticks(range(len(rows)), rows)
        axes.set(xlabel="mAP against the baseline", title=place[0])
        axes.grid(alpha=0.3, axis="x")
    axes.plot([], [], "oC0", label="as printed (MEAN_OF affine), or without branches")
    axes.plot([], [], "sC1", label="MEAN_OF path, as recommended")
    figure.legend(loc="outside upper center", ncols=2)
    figure.savefig(file, dpi=110)
