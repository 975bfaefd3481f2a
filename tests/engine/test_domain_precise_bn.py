"""The hook: right numbers, at the right time, off and on, and what it tells."""

import copy
import json
import os

import pytest
import torch
from fastreid.data import CommDataset
from fastreid.data.transforms import build_transforms
from fastreid.engine import DefaultTrainer

from fastreid_gdnorm.engine import DomainPreciseBN
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.layers import GaussianProcess


def metrics(cfg):
    with open(os.path.join(cfg.OUTPUT_DIR, "metrics.json")) as file:
        return [json.loads(line) for line in file]


def statistics(state):
    return {key: value for key, value in state.items() if "running_" in key}


def test_a_branch_has_the_average_statistics_of_its_own_domains_images(tiny):
    """The first layer's input is the first convolution's output: its statistics can be had without any BN."""
    trainer = DefaultTrainer(tiny("gdnorm", "SOLVER.IMS_PER_BATCH", "12", "TEST.PRECISE_BN.NUM_ITER", "9"))
    with torch.no_grad():
        for p in trainer.model.parameters():
            p.add_(0.01 * torch.randn_like(p))
    hook = next(h for h in trainer._hooks if isinstance(h, DomainPreciseBN))
    before = copy.deepcopy(trainer.model.state_dict())
    hook.update()

    model, dataset = trainer.model, trainer.data_loader.dataset
    for k, branch in enumerate(model.backbone.bn1.branches):
        own = [item for item, domain in zip(dataset.img_items, dataset.domains) if domain == k]
        images = CommDataset(own, build_transforms(trainer.cfg, is_train=False))
        batch = torch.stack([images[i]["images"] for i in range(len(own))])
        with torch.no_grad():
            values = model.backbone.conv1((batch - model.pixel_mean) / model.pixel_std).double()
        mean = values.mean((0, 2, 3))
        assert torch.allclose(branch.running_mean.double(), mean, atol=1e-4)
        # an average over 2 batches of 12 of 24 images: near the whole's variance, and never above it
        whole = values.var((0, 2, 3))
        assert (branch.running_var / whole < 1.01).all() and (branch.running_var / whole > 0.8).all()
    after = model.state_dict()
    assert all(
        torch.equal(before[key], value)
        for key, value in after.items()
        if key not in statistics(after) and "num_batches" not in key
    ), "weights stay"
    assert model.training and all(bn.training and bn.momentum == 0.1 for bn in model.backbone.bn1.branches)


def record_what_is_tested(trainer):
    """A dict that holds, after a test, the state of the model that was tested."""
    stock_test, evaluated = trainer.test, {}

    def test(cfg, model):
        evaluated.update(copy.deepcopy(model.state_dict()))
        return stock_test(cfg, model)

    trainer.test = test
    return evaluated


def test_on_it_comes_before_evaluation_and_checkpoint_and_off_it_does_not(tiny, monkeypatch, tmp_path):
    runs = {}
    for name, hooks in (("on", "('DomainPreciseBN',)"), ("off", "()")):
        folder = tmp_path / name
        folder.mkdir()
        cfg = tiny("gdnorm", "SEED", "0", "SOLVER.HOOKS", hooks, "OUTPUT_DIR", str(folder), "SOLVER.MAX_EPOCH", "1")
        trainer = DefaultTrainer(cfg)
        evaluated = record_what_is_tested(trainer)
        trainer.train()
        saved = torch.load(folder / "model_final.pth", weights_only=True)["model"]
        assert all(torch.equal(evaluated[key], saved[key]) for key in saved), "what is evaluated is what is saved"
        runs[name] = (cfg, trainer, saved)

    (_, on, with_hook), (_, _, without) = runs["on"], runs["off"]
    weights = [key for key in with_hook if key.endswith((".weight", ".bias"))]
    assert all(torch.equal(with_hook[key], without[key]) for key in weights), "training is the same"
    assert not any(torch.equal(with_hook[key], without[key]) for key in statistics(with_hook) if "running_mean" in key)
    estimated = copy.deepcopy(statistics(on.model.state_dict()))
    next(h for h in on._hooks if isinstance(h, DomainPreciseBN)).update()
    assert all(torch.equal(estimated[key], value) for key, value in statistics(on.model.state_dict()).items())

    told = [line for line in metrics(runs["on"][0]) if "gaussian_process/var_a" in line][-1]
    var_a, var_b = GaussianProcess(on.model).spread()
    assert told["gaussian_process/var_a"] == pytest.approx(var_a)
    assert told["gaussian_process/var_b"] == pytest.approx(var_b) and var_b > 0
    assert not any("gaussian_process/var_a" in line for line in metrics(runs["off"][0]))


def test_a_model_without_branches_is_refused(tiny):
    with pytest.raises(UserError, match="DomainPreciseBN needs a GDNorm model, not MODEL.META_ARCHITECTURE Baseline"):
        DefaultTrainer(tiny("baseline", "SOLVER.HOOKS", "('DomainPreciseBN',)"))
