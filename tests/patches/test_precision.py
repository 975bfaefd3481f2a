"""Patches of fast-reid's training in half precision."""

import contextlib
import copy

import pytest
import torch
from fastreid.engine.train_loop import AMPTrainer, SimpleTrainer
from fastreid.modeling.losses.utils import euclidean_dist
from fastreid.utils.events import EventStorage

from ..conftest import amp_step


@pytest.mark.parametrize("autocast", [False, True])
def test_distances_of_large_features_are_right_in_half_precision(autocast):
    x = torch.randn(6, 512, generator=torch.Generator().manual_seed(0))
    x = torch.nn.functional.normalize(x) * 300
    expected = (x[:, None] - x[None]).norm(dim=2) + torch.eye(6)  # the distance to itself is only rounding
    with torch.autocast("cpu", dtype=torch.float16, enabled=autocast):
        found = euclidean_dist(x if autocast else x.half(), x if autocast else x.half())
    assert found.dtype == torch.float32
    assert torch.allclose(found.fill_diagonal_(1), expected.fill_diagonal_(1), rtol=0.01)


class Normalised(torch.nn.Module):
    """One weight behind a BN; the loss is a mean over the batch, times the weight."""

    def __init__(self):
        super().__init__()
        self.bn = torch.nn.BatchNorm2d(1, affine=False)
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, images):
        return {"loss": (self.bn(images).square().mean() * self.weight).sum()}


def test_a_step_that_overflows_changes_nothing_and_twenty_in_a_row_end_the_run(monkeypatch):
    good = torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    bad = torch.full_like(good, torch.inf)
    model = Normalised()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = AMPTrainer(model, [], optimizer, None, torch.amp.GradScaler("cpu"))
    trainer.iter = 0
    monkeypatch.setattr(torch.cuda.amp, "autocast", contextlib.nullcontext)

    def steps(*some):
        trainer._data_loader_iter = iter(some)
        for _ in some:
            amp_step(trainer, monkeypatch)

    with EventStorage() as storage:
        steps(good)
        before = copy.deepcopy(model.state_dict())
        steps(*[bad] * 19)
        assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
        assert len(storage.history("total_loss").values()) == 1
        steps(good, *[bad] * 19)
        assert not torch.equal(before["weight"], model.weight), "a good step restarts the count"
        with pytest.raises(FloatingPointError, match="infinite or NaN"):
            steps(bad)
    with EventStorage(), pytest.raises(FloatingPointError):
        SimpleTrainer._write_metrics(trainer, {"loss": torch.tensor(torch.nan)}, 0.0)
