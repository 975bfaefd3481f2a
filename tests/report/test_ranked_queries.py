"""The picture of ranked results, of features for which right and wrong matches are certain."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from fastreid_gdnorm.data import read
from fastreid_gdnorm.report import ranked_results, tables

NUM_MATCHES = 5


class ByIdentity(torch.nn.Module):
    """One axis for each identity, so that right matches are nearest; for queries in ``fooled`` they are farthest."""

    def __init__(self, fooled):
        super().__init__()
        self.fooled = fooled

    def forward(self, batch):
        features = torch.nn.functional.one_hot(batch["targets"], 20).float()
        signs = [-1.0 if path in self.fooled else 1.0 for path in batch["img_paths"]]
        return features * torch.tensor(signs)[:, None]


@pytest.fixture
def drawn(monkeypatch):
    """The list of the figures that ``ranked_results`` makes."""
    figures = []
    monkeypatch.setattr(tables, "Figure", lambda **options: figures.append(Figure(**options)) or figures[-1])
    return figures


def test_rows_go_from_worst_to_best_and_frames_say_which_matches_are_right(tiny, tmp_path, drawn):
    cfg = tiny()
    data = read(cfg, "RenderedStation")
    fooled = [path for path, _, _ in data.query[::2]]
    output = tmp_path / "ranked.png"
    ranked_results(ByIdentity(fooled), cfg, "RenderedStation", output, len(data.query), NUM_MATCHES)

    queries = {pixels(item[0]): item for item in data.query}
    rows = np.reshape(drawn[0].axes, (len(data.query), 1 + NUM_MATCHES))
    asked = [queries[shown(axis)] for axis in rows[:, 0]]
    assert sorted(asked) == data.query and {path for path, _, _ in asked[: len(fooled)]} == set(fooled)
    for (query, pid, camera), (first, *matches) in zip(asked, rows):
        right = [path for path, own, seen_by in data.gallery if own == pid and seen_by != camera]
        assert 0 < len(right) < NUM_MATCHES
        expected = ["wrong"] * NUM_MATCHES if query in fooled else ["right"] * len(right)
        expected += ["wrong"] * (NUM_MATCHES - len(expected))
        assert [axis.get_title() for axis in matches] == expected
        assert ("AP 100" in first.get_title()) == (query not in fooled)
        for axis, word in zip(matches, expected):
            colours = {to_hex(side.get_edgecolor()) for side in axis.spines.values()}
            assert colours == {to_hex("tab:green" if word == "right" else "tab:red")}
            assert (shown(axis) in map(pixels, right)) == (word == "right")

    with Image.open(output) as picture:
        assert picture.size == tuple((drawn[0].get_size_inches() * 110).round().astype(int))
        assert len(np.unique(np.asarray(picture).reshape(-1, 4), axis=0)) > 1000, "photographs, not an empty figure"


def pixels(path):
    """The hash of a photograph as the figure shows it."""
    with Image.open(path) as image:
        return hash(image.convert("RGB").resize((64, 128)).tobytes())


def shown(axis):
    return hash(axis.images[0].get_array().tobytes())
