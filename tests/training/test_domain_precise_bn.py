"""DomainPreciseBN: correct statistics, at the right time, and what it saves and logs."""

import copy
import json
import shutil

import pytest
import torch
from fastreid.data.transforms import build_transforms
from fastreid.engine import DefaultTrainer

from fastreid_gdnorm.layers import GaussianProcess
from fastreid_gdnorm.runs.run_config import load_config
from fastreid_gdnorm.training.domain_precise_bn import DomainPreciseBN
from fastreid_gdnorm.training.population_statistics import domain_loaders, estimate_branches
from fastreid_gdnorm.training.training_images import RepeatableImages

from ..conftest import DEMO, TINY, TOY_SEED


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]


def logged_variance(folder):
    return [line["gaussian_process/var_a"] for line in metrics(folder) if "gaussian_process/var_a" in line]


def statistics(state):
    return {key: value for key, value in state.items() if "running_" in key}


def test_a_branch_has_the_average_statistics_of_its_own_domains_images(tiny):
    """The first layer's input is the first convolution's output, so its statistics can be computed without BN."""
    settings = ["SEED", "0", "SOLVER.IMS_PER_BATCH", "12", "TEST.PRECISE_BN.NUM_ITER", "9"]
    trainer, generator = DefaultTrainer(tiny("gdnorm", *settings)), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in trainer.model.parameters():
            p.add_(0.01 * torch.randn(p.shape, generator=generator))
    hook = next(h for h in trainer._hooks if isinstance(h, DomainPreciseBN))
    before = copy.deepcopy(trainer.model.state_dict())
    hook.update()

    model, dataset = trainer.model, trainer.data_loader.dataset
    for k, branch in enumerate(model.backbone.features[0][1].branches):
        own = [item for item, domain in zip(dataset.img_items, dataset.domains) if domain == k]
        images = RepeatableImages(own, build_transforms(trainer.cfg, is_train=True))
        batch = torch.stack([images[i]["images"] for i in range(len(own))])
        with torch.no_grad():
            values = model.backbone.features[0][0]((batch - model.pixel_mean) / model.pixel_std).double()
        mean = values.mean((0, 2, 3))
        assert torch.allclose(branch.running_mean.double(), mean, atol=1e-4)
        # the average over 2 batches of 12 of the 24 images: close to the variance over all, never above it
        whole = values.var((0, 2, 3))
        assert (branch.running_var / whole < 1.01).all() and (branch.running_var / whole > 0.8).all()
    after = model.state_dict()
    assert all(
        torch.equal(after[key], value)
        for key, value in before.items()
        if key not in statistics(before) and "num_batches" not in key
    ), "the weights are unchanged"
    assert model.training and all(bn.training and bn.momentum == 0.1 for bn in model.backbone.features[0][1].branches)


SCHEDULES = {
    "often": ["TEST.EVAL_PERIOD", "1", "SOLVER.CHECKPOINT_PERIOD", "1"],
    "seldom": ["TEST.EVAL_PERIOD", "2", "SOLVER.CHECKPOINT_PERIOD", "2"],
    "without": ["SOLVER.HOOKS", "()"],
}


@pytest.fixture(scope="module")
def runs(datasets, tmp_path_factory):
    """{schedule: (folder, trainer, states of the tested models)} of trainings of two epochs."""
    finished = {}
    for schedule, overrides in SCHEDULES.items():
        folder = tmp_path_factory.mktemp(schedule)
        cfg = load_config(f"{DEMO}/gdnorm.yml", [*TINY, "SEED", str(TOY_SEED), "OUTPUT_DIR", str(folder), *overrides])
        trainer, tested = DefaultTrainer(cfg), []

        def test(cfg, model, stock=trainer.test, tested=tested):
            tested.append(copy.deepcopy(model.state_dict()))
            return stock(cfg, model)

        trainer.test = test
        trainer.train()
        finished[schedule] = folder, trainer, tested
    return finished


def checkpoint(folder, name):
    return torch.load(folder / f"{name}.pth", weights_only=True)


def test_training_does_not_depend_on_when_the_model_is_tested_or_saved(runs):
    folder, often, _ = runs["often"]
    losses = [line["total_loss"] for line in metrics(folder) if "total_loss" in line]
    running = checkpoint(folder, "model_final")["running_statistics"]
    for schedule in ("seldom", "without"):
        other, trainer, _ = runs[schedule]
        assert [line["total_loss"] for line in metrics(other) if "total_loss" in line] == losses
        own = dict(trainer.model.named_parameters())
        assert all(torch.equal(own[name], p) for name, p in often.model.named_parameters())
        last = checkpoint(other, "model_final")
        own = last["running_statistics"] if schedule == "seldom" else last["model"]
        assert all(torch.equal(own[name], values) for name, values in running.items()), "equal running statistics"
    assert logged_variance(folder) == logged_variance(runs["seldom"][0]) and len(logged_variance(folder)) == 2


def test_tested_and_saved_models_have_statistics_of_their_own_weights(runs):
    folder, trainer, tested = runs["often"]
    saved = [checkpoint(folder, name)["model"] for name in ("model_0000", "model_final")]
    for state, tested_state in zip(saved, tested):
        assert all(torch.equal(tested_state[key], state[key]) for key in state), "the tested model is the saved one"
    model = trainer.model
    assert all(torch.equal(saved[1][key], value) for key, value in model.state_dict().items()), "and the final one"
    for state in saved[::-1]:
        model.load_state_dict(state)
        estimate_branches(model.eval(), domain_loaders(trainer.cfg, trainer.data_loader.dataset)[0])
        assert all(torch.equal(state[key], value) for key, value in statistics(model.state_dict()).items())


def test_a_checkpoint_has_both_statistics_and_the_logged_variance_comes_from_the_running_ones(runs):
    folder, trainer, _ = runs["often"]
    saved = checkpoint(folder, "model_0000")
    estimated, running = statistics(saved["model"]), statistics(saved["running_statistics"])
    assert set(running) == set(estimated)
    assert not any(torch.equal(values, running[key]) for key, values in estimated.items() if "mean" in key)
    logged = logged_variance(folder)
    trainer.model.load_state_dict({**saved["model"], **running})
    assert logged[0] == pytest.approx(GaussianProcess(trainer.model).spread()[0])
    trainer.model.load_state_dict(saved["model"])
    assert logged[0] != pytest.approx(GaussianProcess(trainer.model).spread()[0])


def test_a_training_resumed_without_the_hook_continues_with_its_running_statistics(runs, tmp_path):
    folder, _, _ = runs["often"]
    shutil.copy(folder / "model_0000.pth", tmp_path)
    (tmp_path / "last_checkpoint").write_text("model_0000.pth")
    cfg = load_config(f"{DEMO}/gdnorm.yml", [*TINY, "SOLVER.HOOKS", "()", "OUTPUT_DIR", str(tmp_path)])
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=True)
    running = checkpoint(folder, "model_0000")["running_statistics"]
    assert all(torch.equal(trainer.model.state_dict()[name], values) for name, values in running.items())
    assert "running_statistics" not in trainer.checkpointer.checkpointables

    shutil.copy(folder / "model_final.pth", tmp_path)
    (tmp_path / "last_checkpoint").write_text("model_final.pth")
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=True)
    final = checkpoint(folder, "model_final")["model"]
    unchanged = all(torch.equal(final[name], values) for name, values in trainer.model.state_dict().items())
    assert unchanged, "a finished training keeps the estimated statistics"


def test_an_error_leaves_the_model_unchanged(tiny):
    trainer = DefaultTrainer(tiny())
    hook = next(h for h in trainer._hooks if isinstance(h, DomainPreciseBN))
    before = copy.deepcopy(trainer.model.state_dict())

    def broken():
        yield next(iter(loaders[1]))
        raise RuntimeError("an image that cannot be read")

    loaders, hook._loaders = hook._loaders, [hook._loaders[0], broken()]
    with pytest.raises(RuntimeError, match="cannot be read"):
        hook.update()
    assert all(torch.equal(before[key], value) for key, value in trainer.model.state_dict().items())
    assert trainer.model.training and all(bn.training for bn in trainer.model.backbone.features[0][1].branches)
    assert all(bn.momentum == 0.1 for bn in trainer.model.backbone.features[0][1].branches)


def pooled_statistics(trainer):
    """Mean and mean variance of the first convolution's output over the pooled loader's batches, by plain sums."""
    model = trainer.model
    hook = next(h for h in trainer._hooks if isinstance(h, DomainPreciseBN))
    means, variances = [], []
    for batch in hook._pooled_loader:
        with torch.no_grad():
            values = model.backbone.features[0][0]((batch["images"] - model.pixel_mean) / model.pixel_std).double()
        means.append(values.mean((0, 2, 3)))
        variances.append(values.var((0, 2, 3)))
    return sum(means) / len(means), sum(variances) / len(variances)


def test_a_stock_model_has_statistics_of_all_domains_equally(tiny):
    sampler = ["DATALOADER.SAMPLER_TRAIN", "DomainBalancedIdentitySampler", "TEST.PRECISE_BN.NUM_ITER", "9"]
    trainer = DefaultTrainer(tiny("baseline", "SOLVER.HOOKS", "('DomainPreciseBN',)", *sampler))
    hook = next(h for h in trainer._hooks if isinstance(h, DomainPreciseBN))
    paths = [path for batch in hook._pooled_loader for path in batch["img_paths"]]
    for domain in ("RenderedStreet", "RenderedMall", "RenderedCampus"):
        assert len({path for path in paths if domain in path}) == len(paths) / 3 == 24
    mean, variance = pooled_statistics(trainer)
    hook.update()
    bn = trainer.model.backbone.features[0][1]
    assert torch.allclose(bn.running_mean.double(), mean, atol=1e-4)
    assert torch.allclose(bn.running_var.double(), variance, rtol=1e-3)


def test_a_neck_without_branches_has_statistics_of_the_mean_path(tiny):
    trainer = DefaultTrainer(tiny("gdnorm", "MODEL.GDNORM.HEADS", "False", "TEST.PRECISE_BN.NUM_ITER", "9"))
    hook = next(h for h in trainer._hooks if isinstance(h, DomainPreciseBN))
    hook.update()
    model, seen = trainer.model.eval(), []
    handle = model.heads.bottleneck[0].register_forward_hook(lambda bn, args, out: seen.append(args[0].double()))
    for batch in hook._pooled_loader:
        with torch.no_grad():
            model(batch)
    handle.remove()
    expected = sum(features.mean((0, 2, 3)) for features in seen) / len(seen)
    assert torch.allclose(model.heads.bottleneck[0].running_mean.double(), expected, rtol=1e-3, atol=1e-5)


def test_its_images_stay_on_the_cpu_with_a_cpu_model_even_if_there_is_a_gpu(tiny, monkeypatch):
    cfg = tiny("gdnorm", "MODEL.DEVICE", "cpu")
    train_set = DefaultTrainer.build_train_loader(cfg).dataset
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: "a CUDA stream")
    loaders, pooled = domain_loaders(cfg, train_set)
    assert [loader.stream for loader in (*loaders, pooled)] == [None] * 4
    cfg.MODEL.DEVICE = "cuda"
    assert domain_loaders(cfg, train_set)[1].stream == "a CUDA stream"
