"""Early gradients change no losses, logs, gradients or statistics, and need the memory of one pass."""

import functools
import logging
import weakref

import pytest
import torch
from fastreid.engine.train_loop import AMPTrainer
from fastreid.modeling.meta_arch import Baseline
from fastreid.utils.events import EventStorage
from torch.utils.checkpoint import checkpoint

from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.modeling import early_gradients
from fastreid_gdnorm.modeling.early_gradients import EarlyGradients

from ..conftest import amp_step
from .conftest import NEAR

PATHS = ("MODEL.GDNORM.NUM_PATHS", "1"), ("MODEL.GDNORM.NUM_PATHS", "3")
FULL = ("DATALOADER.DOMAIN_BATCH", "full", "MODEL.HEADS.NUM_CLASSES", "12")


class Kept:
    """Counts the numbers that are saved for backward passes: now, and at most so far."""

    def __init__(self):
        self.now = self.most = 0

    def watch(self):
        return torch.autograd.graph.saved_tensors_hooks(functools.partial(Box, self), lambda box: box.tensor)

    def add(self, numel):
        self.now += numel
        self.most = max(self.most, self.now)


class Box:
    def __init__(self, kept, tensor):
        self.tensor = tensor
        kept.add(tensor.numel())
        weakref.finalize(self, kept.add, -tensor.numel())


def step(model, batch, early, *overrides):
    net, kept = model("MODEL.GDNORM.EARLY_GRADIENTS", str(early), *overrides).train(), Kept()
    with EventStorage() as storage, kept.watch():
        torch.manual_seed(7)
        losses = net(batch)
        sum(losses.values()).backward()
        logged = {name: [value for value, _ in history.values()] for name, history in storage.histories().items()}
    gradients = {name: p.grad for name, p in net.named_parameters()}
    return losses, logged, gradients, dict(net.named_buffers()), kept.most


@pytest.mark.parametrize("overrides", [*PATHS, FULL])
def test_a_step_gives_the_same_in_the_memory_of_one_pass(model, batch, full_batch, overrides):
    batch = full_batch if overrides is FULL else batch
    losses, logged, gradients, buffers, much = step(model, batch, False, *overrides)
    early_losses, early_logged, early_gradients, early_buffers, little = step(model, batch, True, *overrides)
    assert list(early_losses) == list(losses)
    assert early_logged == {name: pytest.approx(values, rel=NEAR) for name, values in logged.items()}
    for early, late in (early_losses, losses), (early_gradients, gradients), (early_buffers, buffers):
        for name, value in late.items():
            assert (early[name] is None) == (value is None), name
            assert value is None or torch.allclose(early[name], value, rtol=NEAR, atol=NEAR), name
    passes = {PATHS[0]: 2, PATHS[1]: 4, FULL: 4}[overrides]
    assert little < 1.1 * much / passes


def test_losses_with_different_weights_are_refused():
    weight = torch.nn.Parameter(torch.tensor(3.0))
    early = EarlyGradients([weight])
    taken = early.take({"one": 2 * weight}, share=0.5)
    assert taken["one"].grad_fn is None
    losses = early.attach({**taken, "other": weight.square()})
    (losses["one"] + losses["other"]).backward(retain_graph=True)
    assert weight.grad == 0.5 * 2 + 2 * 3
    (10 * (losses["one"] + losses["other"])).backward(retain_graph=True)
    assert weight.grad == 11 * 7
    with pytest.raises(RuntimeError, match="EARLY_GRADIENTS False"):
        (losses["one"] + 2 * losses["other"]).backward()


def test_gradients_are_computed_outside_of_autocast_as_in_trainers():
    """A part that runs in full precision has a gradient in full precision, beyond the range of half precision."""
    weight, scale = torch.nn.Parameter(torch.ones(8, 8)), 2.0**16
    features = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    early = EarlyGradients([weight], scale)
    with torch.autocast("cpu", dtype=torch.float16):
        with torch.autocast("cpu", enabled=False):
            loss = (features @ weight).square().sum()
        losses = early.attach(early.take({"loss": loss}, share=1.0))
    (scale * losses["loss"]).backward()
    expected = torch.autograd.grad((features @ weight).square().sum() * scale, weight)[0]
    assert expected.abs().max() > torch.finfo(torch.float16).max
    assert torch.equal(weight.grad, expected)


def test_losses_that_need_no_gradient_are_unchanged():
    early = EarlyGradients([torch.nn.Parameter(torch.ones(1))])
    losses = {"loss": torch.tensor(1.0)}
    assert early.attach(early.take(losses, share=1.0)) == losses


def test_half_precision_computes_gradients_at_the_scale_of_grad_scaler(model, batch, monkeypatch):
    """Without the scale, small gradients would vanish in half precision."""
    batch = {**batch, "images": batch["images"].float()}
    autocast = functools.partial(torch.autocast, "cpu", dtype=torch.float16)
    monkeypatch.setattr(torch.cuda.amp, "autocast", autocast)
    found, kept = {}, {}
    for early in (False, True):
        net, watched = model("MODEL.GDNORM.EARLY_GRADIENTS", str(early)).float(), Kept()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
        trainer = AMPTrainer(net, [batch], optimizer, None, torch.amp.GradScaler("cpu", init_scale=16.0))
        trainer.iter = 0
        # some oneDNN kernels leave memory uninitialised in gradients of weights that see only padding
        with EventStorage(), watched.watch(), torch.backends.mkldnn.flags(enabled=False):
            torch.manual_seed(7)
            amp_step(trainer, monkeypatch)
        assert net.loss_scale is None
        found[early] = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
        kept[early] = watched.most
    assert torch.isfinite(found[True]).all() and found[False].norm() > 0
    assert (found[True] - found[False]).norm() < 0.01 * found[False].norm()
    assert kept[True] < 0.7 * kept[False]


def test_half_precision_with_an_unknown_scale_keeps_all_passes(model, batch):
    net = model().float().train()
    batch = {**batch, "images": batch["images"].float()}
    with EventStorage(), torch.autocast("cpu", dtype=torch.bfloat16):
        losses = net(batch)
    assert all("Attached" not in type(loss.grad_fn).__name__ for loss in losses.values())


def gradients_of(net, batch):
    """The gradients of a step, and the running statistics after it."""
    with EventStorage():
        torch.manual_seed(7)
        sum(net.train()(batch).values()).backward()
    gradients = {name: p.grad for name, p in net.named_parameters()}
    return {**gradients, "images": batch["images"].grad, **dict(net.named_buffers())}


def assert_same(found, expected):
    for name, value in expected.items():
        assert (found[name] is None) == (value is None), name
        assert value is None or torch.allclose(found[name], value, rtol=NEAR, atol=NEAR), name


@pytest.fixture
def said(caplog, monkeypatch):
    """The log, as if no reason had been logged yet."""
    monkeypatch.setattr(early_gradients, "_said", set())
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)
    return caplog


def hook_on_a_parameter(net, batch):
    net.heads.weight.register_hook(lambda gradient: gradient.clamp(-1e-3, 1e-3))


def images_with_gradients(net, batch):
    batch["images"] = batch["images"].clone().requires_grad_()


def another_network(net, batch):
    net.of_another = [torch.ones((), dtype=torch.double, requires_grad=True)]
    net.backbone.register_forward_hook(lambda module, args, out: out * net.of_another[0])


@pytest.mark.parametrize("use", [hook_on_a_parameter, images_with_gradients, another_network])
def test_where_early_gradients_are_impossible_they_come_late_and_the_log_says_so_once(model, batch, said, use):
    found = []
    for early in ("False", "True"):
        net, own = model("MODEL.GDNORM.EARLY_GRADIENTS", early), dict(batch)
        use(net, own)
        found.append(gradients_of(net, own))
        if use is another_network:
            found[-1]["another"] = net.of_another[0].grad.clone()
    assert_same(found[1], found[0])
    gradients_of(net, own)
    assert said.text.count("so all passes of a step stay in memory") == 1


def test_a_post_accumulate_hook_runs_once_with_the_whole_gradient(model, batch):
    net, seen = model().train(), []
    net.heads.weight.register_post_accumulate_grad_hook(lambda parameter: seen.append(parameter.grad.clone()))
    gradients = gradients_of(net, batch)
    assert len(seen) == 1 and torch.equal(seen[0], gradients["heads.weight"])


def test_gradients_of_gradients_are_refused(model, batch):
    net = model().train()
    with EventStorage():
        losses = net(batch)
    with pytest.raises(RuntimeError, match=r"create_graph=True .*EARLY_GRADIENTS False"):
        torch.autograd.grad(sum(losses.values()), [*net.heads.parameters()][:1], create_graph=True)


def test_losses_without_gradient_can_be_left_out_and_must_be_single_numbers(model, batch, monkeypatch):
    net, stock = model().train(), Baseline.losses

    def with_more(more):
        monkeypatch.setattr(Baseline, "losses", lambda *args: {**stock(*args), "more": more})
        with EventStorage():
            torch.manual_seed(7)
            return net(batch)

    losses = with_more(torch.ones(1))
    assert losses.pop("more") == losses.pop("more_path") == 1
    sum(losses.values()).backward()
    assert net.heads.weight.grad.any()
    for wrong, what in (torch.ones(2), r"a tensor \(2,\)"), (1.0, "a float"):
        with pytest.raises(UserError, match=f"the model's loss more is {what}: make it a tensor with one number"):
            with_more(wrong)


def checkpointed(module, use_reentrant):
    module.forward = functools.partial(checkpoint, module.forward, use_reentrant=use_reentrant)


def test_a_checkpointed_backbone_has_the_same_gradients_and_statistics(model, batch):
    expected = gradients_of(model("MODEL.GDNORM.NUM_PATHS", "2"), batch)
    net = model("MODEL.GDNORM.NUM_PATHS", "2")
    for block in net.backbone.features:
        checkpointed(block, use_reentrant=False)
    assert_same(gradients_of(net, batch), expected)


@pytest.mark.parametrize("early, use_reentrant", [(False, False), (True, True)])
def test_a_backbone_that_would_run_again_on_another_path_is_refused(model, batch, early, use_reentrant):
    net = model("MODEL.GDNORM.EARLY_GRADIENTS", str(early))
    checkpointed(net.backbone.features[3], use_reentrant)
    with pytest.raises(RuntimeError, match="a different path than in the forward pass.*EARLY_GRADIENTS True") as caught:
        gradients_of(net, batch)
    assert "\n" not in str(caught.value)
