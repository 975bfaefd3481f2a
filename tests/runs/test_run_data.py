"""The counts of a run's data sets, and the uncertainty of a share of the queries."""

import math

import pytest

from fastreid_gdnorm.runs.run_data import RunData


@pytest.mark.parametrize("right", [0, 1, 7, 12])
def test_uncertainty_is_half_the_wilson_interval(tiny, right):
    data = RunData(tiny())
    n, p, z = data.targets["RenderedStation"][0].images, right / 12, 1.96
    assert n == 12
    expected = 100 * z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert data.uncertainty("RenderedStation", 100 * p) == pytest.approx(expected, rel=1e-4)


def test_uncertainty_is_0_if_the_data_set_is_missing(tiny):
    data = RunData(tiny("gdnorm", "DATASETS.TESTS", "('DGVIPeR',)"))
    assert "DGVIPeR" in data.missing and data.uncertainty("DGVIPeR", 50.0) == 0


def test_queries_without_a_true_match_do_not_count(tiny, station):
    for image in station.glob("bounding_box_test/0007_*"):
        image.unlink()
    data = RunData(tiny())
    assert data.unmatched == {"RenderedStation": 2} and data.targets["RenderedStation"][0].images == 12
    n, z = 10, 1.96  # no query is right
    assert data.uncertainty("RenderedStation", 0) == pytest.approx(100 * z**2 / (2 * n) / (1 + z**2 / n), rel=1e-4)
