"""Figures of a path sweep, on records whose numbers are known."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from fastreid_gdnorm.report.path_figures import paths_figure, samples_figure


def record(path, scale, rank_1, mean_ap, target="Here"):
    return {
        "target": target,
        "path": path,
        "lambda": scale,
        "Rank-1": rank_1,
        "mAP": mean_ap,
        "seconds_per_batch": 0.25,
    }


RECORDS = [
    record("source:0", None, 30.0, 20.0),
    record("mean", None, 50.0, 40.0),
    record("ensemble", None, 45.0, 35.0),
    record("mean", None, 99.0, 98.0, target="There"),
    *(record(f"sample:{seed}", 0.2, 48.0 + seed, 38.0 + seed) for seed in range(3)),
    *(record(f"sample:{seed}", 1.0, 10.0 * seed, 5.0 * seed) for seed in range(3)),
    record("sample:0", 1.0, 97.0, 96.0, target="There"),
]


def test_every_single_path_has_a_bar_per_metric_and_the_mean_path_is_red():
    (axis,) = paths_figure(RECORDS, "Here").axes
    rank_1, mean_ap = axis.containers
    for bars, heights in (rank_1, [30, 50, 45]), (mean_ap, [20, 40, 35]):
        assert [bar.get_height() for bar in bars] == heights
        colours = [to_hex(bar.get_facecolor()) for bar in bars]
        assert colours == [to_hex(name) for name in ("tab:blue", "tab:red", "tab:blue")]
    values = {"Rank-1": ("30.0", "50.0", "45.0"), "mAP": ("20.0", "40.0", "35.0")}
    written = [f"{metric}\n{value}" for metric in values for value in values[metric]]
    assert [text.get_text() for text in axis.texts] == written
    labels = [label.get_text() for label in axis.get_xticklabels()]
    assert labels == [f"{path}\n250 ms per batch" for path in ("source:0", "mean", "ensemble")]
    assert axis.get_title() == "Here" and axis.get_ylim()[1] > 50


def test_samples_are_dots_between_their_worst_and_best_and_the_mean_path_is_a_red_line():
    figure = samples_figure(RECORDS, "Here")
    of_metrics = zip(figure.axes, ("Rank-1", "mAP"), (50, 40), ([48, 49, 50], [38, 39, 40]), ([0, 10, 20], [0, 5, 10]))
    for axis, metric, mean_path, near, far in of_metrics:
        assert axis.get_ylabel() == f"{metric} (%)"
        lines = {line.get_label(): line for line in axis.lines}
        dots = lines["sampled paths"].get_xydata().tolist()
        assert dots == [[scale, value] for scale, values in ((0.2, near), (1.0, far)) for value in values]
        average = [[0.2, near[1]], [1.0, far[1]]]
        assert lines["their average"].get_xydata() == pytest.approx(np.array(average))
        assert set(lines["mean path"].get_ydata()) == {mean_path}
        assert to_hex(lines["mean path"].get_color()) == to_hex("tab:red")
        (band,) = axis.collections
        corners = {tuple(corner) for corner in band.get_paths()[0].vertices.tolist()}
        assert corners == {(0.2, near[0]), (0.2, near[-1]), (1.0, far[0]), (1.0, far[-1])}
    (legend,) = figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named == ["best to worst", "sampled paths", "their average", "mean path"]
