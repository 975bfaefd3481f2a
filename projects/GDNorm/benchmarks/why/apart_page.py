"""The page of apart.py, its figure, and the tables behind both."""

import csv

from benchmarks.shared.pages import RESULTS, write_above_reading, written_by
from matplotlib.figure import Figure
from tabulate import tabulate

from fastreid_gdnorm.training.noise_watch import LIMIT

CSV, END = "apart.csv", "apart_end.csv"
SILENT = 0.01  # share of a channel's mean variance over the sources
SHOWN = 6  # columns of steps in a table
QUANTITIES = {  # column of the CSV: its name on the page
    "loss_cls": "identity loss, domain path",
    "loss_cls_path": "identity loss, sampled path",
    "noise": "noise by variance / M(a)",
    "noise_std": "noise by std / M(a)",
    "silent": "silent channels of the neck, %",
}
ON_LOG_AXES = ("loss_cls_path", "noise", "noise_std")


def read_rows(name):
    """{(data, row): [lines]} of a table in results/."""
    found = {}
    if (RESULTS / name).is_file():
        for line in csv.DictReader((RESULTS / name).read_text().splitlines()):
            found.setdefault((line.pop("data"), line.pop("row")), []).append(line)
    return found


def write_rows(file, lines):
    with open(file, "w", newline="") as opened:
        writer = csv.DictWriter(opened, lines[0], lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(lines)


def write_page(found):
    """Write the page above its hand-written section, the figure and the tables.

    Args:
        found: {(data, row): (lines of apart.csv, lines of apart_end.csv)}.
    """
    for place, name in enumerate((CSV, END)):
        of = ({"data": data, "row": row} for data, row in found)
        write_rows(
            RESULTS / name, [{**of_row, **line} for of_row, lines in zip(of, found.values()) for line in lines[place]]
        )
    parts = [
        "# Why GDNorm as printed diverges",
        f"{written_by('why/apart.py')}\n"
        "Trained from the shipped start with the demo's configs at 64x32, seed 0, on photographs (CUHK03 pair 2,\n"
        "pairs 3 to 5, CUHK01) and on synthetic domains (drawings: RenderedDraw300 to 302).\n\n"
        "- Noise / M(a): lambda times the variance (or std) of a, divided by M(a); both are root mean squares over\n"
        "  a layer's channels, in the noisiest layer. By variance, it is what Eq. 11 adds as printed; it is measured\n"
        f"  in every row. Above {LIMIT}, a training warns that it diverges.\n"
        f"- A channel is silent if its variance in one source is below {SILENT:.0%} of its mean over the sources.\n"
        "- Precise statistics are estimated anew for the final weights (`DomainPreciseBN`).\n"
        "- Gradient: the norm of the convolutions' gradient.",
    ]
    for data in dict.fromkeys(data for data, _ in found):
        rows = {row: lines for (of, row), lines in found.items() if of == data}
        parts.append(
            f"## {data.capitalize()}\n\n{_over_training(rows)}\n\nThe final models, on 4 batches:\n\n{_at_end(rows)}"
        )
    parts.append("![Losses, noise and silent channels over training](apart.png)")
    write_above_reading(RESULTS / "apart.md", "\n\n".join(parts) + "\n")
    save_figure(RESULTS / "apart.png", {key: lines for key, (lines, _) in found.items()})


def _over_training(rows):
    table = []
    for row, (lines, _) in rows.items():
        shown = [lines[len(lines) * part // SHOWN - 1] for part in range(1, SHOWN + 1)]
        for column, what in QUANTITIES.items():
            if shown[0][column] != "":
                table.append([row, what, *(f"{float(line[column]):.3g}" for line in shown)])
    return _table(table, ["row", "after steps", *(line["step"] for line in shown)])


def _at_end(rows):
    table = []
    for row, (_, lines) in rows.items():
        for line in lines:
            table.append([row, line["path"], *(f"{float(line[name]):.3g}" for name in [*line][1:])])
    return _table(table, ["row", *line])


def _table(rows, headers):
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def save_figure(file, found):
    """One column for each kind of data, one panel for each quantity, one line for each row."""
    kinds, rows = ([*dict.fromkeys(keys)] for keys in zip(*found))
    figure = Figure(figsize=(5 * len(kinds), 2.2 * len(QUANTITIES)), layout="constrained")
    all_axes = figure.subplots(len(QUANTITIES), len(kinds), sharex="col", sharey="row", squeeze=False)
    for axes, (column, what) in zip(all_axes, QUANTITIES.items()):
        for ax, data in zip(axes, kinds):
            for number, row in enumerate(rows):
                lines = [line for line in found[data, row] if line[column] != ""]
                ax.plot(*([float(line[name]) for line in lines] for name in ("step", column)), f"C{number}", label=row)
            if column == "noise":
                ax.axhline(LIMIT, color="grey", linestyle=":")
            ax.set_yscale("log" if column in ON_LOG_AXES else "linear")
            ax.grid(alpha=0.3)
        axes[0].set_ylabel(what, fontsize="small")
    for ax, data in zip(all_axes[0], kinds):
        ax.set_title(data)
    for ax in all_axes[-1]:
        ax.set_xlabel("steps")
    all_axes[0][-1].legend(fontsize="small")
    figure.savefig(file, dpi=100)
