"""The tables of a path sweep, as blocks of a document: the paper's Table 5, and the numbers of its Figure 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..evaluation import METRICS
from ..evaluation.path_sweep import Record, summarize
from .document import Cell, Table


def tables_of_sweep(records: Sequence[Record]) -> dict[str, list[Table]]:
    """{target: tables}: the single paths, and if paths were sampled, where the mean path ranks among them."""
    return {
        target: [_single([record for record in records if record["target"] == target])]
        + [_sampled(of_metrics)] * any(of_metrics.values())
        for target, of_metrics in summarize(records).items()
    }


def _single(records: Sequence[Record]) -> Table:
    rows = [
        [r["path"], *(Cell(f"{r[metric]:.1f}") for metric in METRICS), Cell(f"{1000 * r['seconds_per_batch']:.0f} ms")]
        for r in records
        if r["lambda"] is None
    ]
    return Table(["path", *METRICS, "time per batch"], rows)


def _sampled(of_metrics: Mapping[str, Mapping[float, Mapping[str, float]]]) -> Table:
    rows = [
        [str(scale), metric, Cell(f"{s['mean path']:.1f}"), Cell(f"{s['rank']} of {s['of']}")]
        + [Cell(f"{s[key]:.1f}") for key in ("average", "worst", "best")]
        for metric, of_scales in of_metrics.items()
        for scale, s in of_scales.items()
    ]
    return Table(["lambda", "", "mean path", "its rank", "average sample", "worst", "best"], rows)
