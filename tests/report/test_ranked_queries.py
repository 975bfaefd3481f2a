"""The picture of ranked results, for features whose right and wrong matches are known."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from PIL import Image

from fastreid_gdnorm.report.ranked_queries import RankedQuery, rank_queries, ranked_figure, ranked_results


def test_queries_go_from_worst_to_best_and_matches_from_near_to_far():
    """Compare with a plain loop over queries, on random features; three queries have no match."""
    generator = np.random.default_rng(0)
    pids, cameras = generator.integers(0, 6, 60), generator.integers(0, 3, 60)
    pids[:20:7] = 9  # of whom the gallery has no image
    features = torch.from_numpy(generator.standard_normal((60, 4)))
    found = []
    for query in range(20):
        distances = ((features[query] - features[20:]) ** 2).sum(1).numpy()
        junk = (pids[20:] == pids[query]) & (cameras[20:] == cameras[query])
        order = [place for place in np.argsort(distances) if not junk[place]]
        hits = [rank for rank, place in enumerate(order, 1) if pids[20 + place] == pids[query]]
        if hits:
            ap = np.mean([number / rank for number, rank in enumerate(hits, 1)])
            found.append((ap, query, [20 + place for place in order]))
    found.sort()
    ranked = rank_queries(features, pids, cameras, num_query=20, count=5)
    expected = [found[round(step * (len(found) - 1) / 4)] for step in range(5)]
    assert len(found) == 17
    for one, (ap, query, matches) in zip(ranked, expected):
        assert one.query == query and one.precision == pytest.approx(ap)
        assert one.matches[: len(matches)].tolist() == matches
        assert len(one.matches) == 40 and (pids[one.matches] == pids[query]).tolist() == one.is_right.tolist()
        rest = one.matches[len(matches) :]
        assert set(pids[rest]) <= {pids[query]} and set(cameras[rest]) <= {cameras[query]}


@pytest.fixture
def photographs(tmp_path):
    """Image files, each of a single grey."""
    files = [str(tmp_path / f"{number}.png") for number in range(4)]
    for number, file in enumerate(files):
        Image.new("RGB", (20, 40), (60 * number,) * 3).save(file)
    return files


def test_border_colours_say_which_matches_are_right(photographs):
    ranked = [
        RankedQuery(0, 0.25, np.array([3, 2]), np.array([False, True])),
        RankedQuery(1, 1.0, np.array([2, 3]), np.array([True, False])),
    ]
    rows = np.reshape(ranked_figure(ranked, photographs, num_matches=2).axes, (2, 3))
    shown = [[int(axis.images[0].get_array()[0, 0, 0]) // 60 for axis in row] for row in rows]
    assert shown == [[0, 3, 2], [1, 2, 3]]
    titles = [[axis.get_title() for axis in row] for row in rows]
    assert titles == [["query\nAP 25", "wrong", "right"], ["query\nAP 100", "right", "wrong"]]
    for axis in rows[:, 1:].flat:
        colours = {to_hex(side.get_edgecolor()) for side in axis.spines.values()}
        assert colours == {to_hex("tab:green" if axis.get_title() == "right" else "tab:red")}


class ByIdentity(torch.nn.Module):
    """One axis per identity, so that right matches are nearest."""

    def forward(self, batch):
        return torch.nn.functional.one_hot(batch["targets"], 20).float()


def test_the_picture_shows_photographs_of_the_test_set(tiny, tmp_path):
    output = tmp_path / "ranked.png"
    ranked_results(ByIdentity(), tiny(), "RenderedStation", output, num_queries=4, num_matches=5)
    with Image.open(output) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape == (round(4 * 2.3 * 110), round(6 * 1.1 * 110), 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000, "photographs, not an empty figure"
