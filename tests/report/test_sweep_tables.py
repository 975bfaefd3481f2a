"""The tables of a path sweep, on records whose numbers are known."""

from fastreid_gdnorm.evaluation import METRICS
from fastreid_gdnorm.report.document import to_markdown
from fastreid_gdnorm.report.path_figures import sweep_figures
from fastreid_gdnorm.report.sweep_tables import tables_of_sweep


def record(path, scale, value, target):
    return {"target": target, "path": path, "lambda": scale, **dict.fromkeys(METRICS, value), "seconds_per_batch": 0.25}


RECORDS = [
    record("mean", None, 50.0, "Here"),
    *(record(f"sample:{seed}", 0.5, 40.0 + 8 * seed, "Here") for seed in range(3)),
    record("mean", None, 30.0, "There"),
]


def lines(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in to_markdown([table]).splitlines()]


def test_the_tables_show_single_paths_and_the_rank_of_the_mean_path_among_samples():
    single, sampled = map(lines, tables_of_sweep(RECORDS)["Here"])
    assert single[0] == ["path", *METRICS, "time per batch"]
    assert single[2:] == [["mean", *["50.0"] * len(METRICS), "250 ms"]]
    assert sampled[0] == ["lambda", "", "mean path", "its rank", "average sample", "worst", "best"]
    assert sampled[2:] == [["0.5", metric, "50.0", "2 of 4", "48.0", "40.0", "56.0"] for metric in ("Rank-1", "mAP")]


def test_a_target_without_samples_has_no_table_or_figure_of_samples():
    assert len(tables_of_sweep(RECORDS)["There"]) == 1
    assert list(sweep_figures(RECORDS, "Here")) == ["paths", "samples"]
    assert list(sweep_figures(RECORDS, "There")) == ["paths"]
