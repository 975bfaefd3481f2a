"""The hook: right numbers, at the right time, off and on, and what it tells."""

import copy
import json

import pytest
import torch
from fastreid.data import CommDataset
from fastreid.data.transforms import build_transforms
from fastreid.engine import DefaultTrainer

from fastreid_gdnorm.engine import DomainPreciseBN
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.layers import GaussianProcess


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]


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
    """A list that holds the states of the models that are tested."""
    stock_test, states = trainer.test, []

    def test(cfg, model):
        states.append(copy.deepcopy(model.state_dict()))
        return stock_test(cfg, model)

    trainer.test = test
    return states


def test_on_it_comes_before_evaluation_and_checkpoint_and_off_it_does_not(tiny, tmp_path):
    runs = {}
    for name, hooks in (("on", "('DomainPreciseBN',)"), ("off", "()")):
        folder = tmp_path / name
        folder.mkdir()
        cfg = tiny("gdnorm", "SEED", "0", "SOLVER.HOOKS", hooks, "OUTPUT_DIR", str(folder), "SOLVER.MAX_EPOCH", "2")
        trainer = DefaultTrainer(cfg)
        evaluated = record_what_is_tested(trainer)
        trainer.train()
        saved = [
            torch.load(folder / f"{file}.pth", weights_only=False)["model"] for file in ("model_0000", "model_final")
        ]
        for state, of_test in zip(saved, evaluated):
            assert all(torch.equal(of_test[key], state[key]) for key in state), "what is evaluated is what is saved"
        runs[name] = (trainer, saved)

    (on, with_hook), (_, without) = runs["on"], runs["off"]
    weights = [key for key in with_hook[0] if key.endswith((".weight", ".bias"))]
    assert all(torch.equal(with_hook[0][key], without[0][key]) for key in weights), "an epoch's training is the same"
    for epoch in range(2):
        assert not any(
            torch.equal(value, without[epoch][key])
            for key, value in statistics(with_hook[epoch]).items()
            if "running_mean" in key
        )

    hook = next(h for h in on._hooks if isinstance(h, DomainPreciseBN))
    for state in with_hook[::-1]:  # every checkpoint's statistics are those of its own weights
        on.model.load_state_dict(state)
        hook.update()
        assert all(torch.equal(state[key], value) for key, value in statistics(on.model.state_dict()).items())

    told = [line for line in metrics(tmp_path / "on") if "gaussian_process/var_a" in line]
    assert [line["iteration"] for line in told] == [6, 12]
    var_a, var_b = GaussianProcess(on.model).spread()  # of the first epoch, as loaded last
    assert told[0]["gaussian_process/var_a"] == pytest.approx(var_a)
    assert told[0]["gaussian_process/var_b"] == pytest.approx(var_b) and var_b > 0
    assert not any("gaussian_process/var_a" in line for line in metrics(tmp_path / "off"))


def test_after_an_error_the_model_is_as_it_was(tiny):
    trainer = DefaultTrainer(tiny())
    hook = next(h for h in trainer._hooks if isinstance(h, DomainPreciseBN))
    hook._loaders = [[{"images": None}]]
    with pytest.raises(KeyError):
        hook.update()
    assert trainer.model.training and all(bn.training for bn in trainer.model.backbone.bn1.branches)
    assert all(bn.momentum == 0.1 for bn in trainer.model.backbone.bn1.branches)


def test_a_model_without_branches_is_refused(tiny):
    with pytest.raises(UserError, match="DomainPreciseBN needs a GDNorm model, not MODEL.META_ARCHITECTURE Baseline"):
        DefaultTrainer(tiny("baseline", "SOLVER.HOOKS", "('DomainPreciseBN',)"))
