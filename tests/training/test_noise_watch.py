"""Diverging sampled paths: a small network diverges by variance but not by std, and training warns in one line."""

import logging
import math

import pytest
import torch
import torch.nn.functional as F
from fastreid.engine import DefaultTrainer
from torch import nn

from fastreid_gdnorm.layers import DomainPath, SampledPath, convert_gdnorm, follow
from fastreid_gdnorm.training.noise_watch import LIMIT, relative_noise

from ..layers.test_gdnorm import EPS, C, K, random_layer

IDS = 20


def trained(noise):
    """A depthwise network after 120 steps, and its losses (120, 2) along the domain path and a sampled path.

    The second domain's images have no third channel, so a third of the features are silent there.
    """
    torch.manual_seed(0)
    first = nn.Conv2d(3, 24, 3, padding=1, groups=3, bias=False)
    layers = first, nn.BatchNorm2d(24), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(96, IDS)
    net = convert_gdnorm(nn.Sequential(*layers), 2).train()
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    people, losses = torch.randn(IDS, 3, 8, 8), []
    for _ in range(120):
        targets = torch.randint(IDS, (32,))
        domains = (targets >= IDS // 2).long()
        x = people[targets] + 0.5 * torch.randn(32, 3, 8, 8)
        x[domains == 1, 2] = 0
        step = []
        for path in (DomainPath(domains), SampledPath(noise=noise)):
            with follow(net, path):
                step.append(F.cross_entropy(net(x), targets))
        optimizer.zero_grad()
        sum(step).backward()
        optimizer.step()
        losses.append([loss.item() for loss in step])
    return net, torch.tensor(losses)


def test_a_channel_that_is_silent_in_one_source_makes_paths_diverge_by_variance_but_not_by_std():
    chance = math.log(IDS)
    for noise in ("variance", "std"):
        net, losses = trained(noise)
        domain_loss, sampled_loss = losses[60:].mean(0).tolist()
        assert domain_loss < chance / 5
        if noise == "variance":
            assert sampled_loss > 5 * chance and relative_noise(net[1], 0.6) > LIMIT
        else:
            assert sampled_loss < chance and relative_noise(net[1], 0.6, "std") < 0.6


@pytest.mark.parametrize("noise", ["variance", "std"])
def test_relative_noise_follows_eq_10_and_11_in_naive_loops(noise):
    layer, over_channels = random_layer(), [0.0, 0.0]
    for c in range(C):
        a = [float(bn.weight[c] / math.sqrt(bn.running_var[c] + EPS)) for bn in layer.branches]
        mean = sum(a) / K
        variance = sum((each - mean) ** 2 for each in a) / K
        var_x = sum(float(bn.running_var[c]) for bn in layer.branches) / K
        for place, value in enumerate((mean, 0.6 * (variance if noise == "variance" else variance**0.5))):
            over_channels[place] += value**2 * var_x
    of_mean, of_noise = (total**0.5 for total in over_channels)
    assert relative_noise(layer, 0.6, noise) == pytest.approx(of_noise / of_mean)


def test_as_x_shrinks_noise_by_variance_grows_without_bound_but_noise_by_std_does_not():
    layer, found = random_layer(), []
    for bn in layer.branches:
        bn.eps = 0.0
        bn.weight.data.abs_()
    for _ in range(3):
        found.append([relative_noise(layer, 0.6, noise) for noise in ("variance", "std")])
        for bn in layer.branches:
            bn.running_var /= 100**2
    by_variance, by_std = zip(*found)
    assert by_variance == pytest.approx([by_variance[0] * 100**n for n in range(3)])
    assert by_std == pytest.approx([by_std[0]] * 3) and by_std[0] < 0.6 * math.sqrt(K - 1)


@pytest.fixture
def warnings_of(tiny, caplog, monkeypatch):
    """A function that trains a config with a seed and returns the warnings about diverging paths."""

    def train(config, *settings, resume=False):
        trainer = DefaultTrainer(tiny(config, "SEED", "0", *settings))
        monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)
        trainer.resume_or_load(resume)
        caplog.clear()
        trainer.train()
        records = {id(record): record for record in caplog.records}  # several loggers may pass on the same record
        return [record.getMessage() for record in records.values() if "paths are diverging" in record.getMessage()]

    return train


LOUD = ("MODEL.GDNORM.LAMBDA", "1e6", "SOLVER.BASE_LR", "1e-9")  # far more noise than any network can take


def test_a_training_warns_once_however_often_it_is_tested_and_again_when_resumed(warnings_of):
    often = warnings_of("gdnorm", *LOUD)
    assert len(often) == 1 and "\n" not in often[0] and often[0].endswith("Set MODEL.GDNORM.NOISE std")
    assert len(warnings_of("gdnorm", *LOUD, "SOLVER.MAX_EPOCH", "3", resume=True)) == 1
    assert warnings_of("gdnorm", *LOUD, "TEST.EVAL_PERIOD", "2", "SOLVER.CHECKPOINT_PERIOD", "2") == often


@pytest.mark.parametrize(
    "config, settings",
    [("gdnorm", ()), ("gdnorm", (*LOUD, "MODEL.GDNORM.NOISE", "std")), ("branches", LOUD), ("baseline", ())],
    ids=["as shipped", "by std", "no sampled path", "no branches"],
)
def test_no_other_training_warns(warnings_of, config, settings):
    assert not warnings_of(config, *settings, "SOLVER.MAX_EPOCH", "1")
