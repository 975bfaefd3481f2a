"""A step whose passes are freed one by one: the same losses, logs, gradients and statistics, and one pass's memory."""

import functools
import weakref

import pytest
import torch
from fastreid.engine.train_loop import AMPTrainer
from fastreid.utils.events import EventStorage

from fastreid_gdnorm.modeling.early_gradients import EarlyGradients

from ..conftest import amp_step
from .conftest import NEAR

PATHS = ("MODEL.GDNORM.NUM_PATHS", "1"), ("MODEL.GDNORM.NUM_PATHS", "3")
FULL = ("DATALOADER.DOMAIN_BATCH", "full", "MODEL.HEADS.NUM_CLASSES", "12")


class Kept:
    """What is kept for backward passes: numbers in memory now, and the most of them so far."""

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
def test_a_step_is_the_same_in_the_memory_of_one_pass(model, batch, full_batch, overrides):
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


def test_losses_of_unlike_weights_are_refused():
    weight = torch.nn.Parameter(torch.tensor(3.0))
    early = EarlyGradients([weight])
    taken = early.take({"one": 2 * weight}, share=0.5)
    assert not taken["one"].requires_grad
    losses = early.attach({**taken, "other": weight.square()})
    (losses["one"] + losses["other"]).backward(retain_graph=True)
    assert weight.grad == 0.5 * 2 + 2 * 3
    (10 * (losses["one"] + losses["other"])).backward(retain_graph=True)
    assert weight.grad == 11 * 7
    with pytest.raises(RuntimeError, match="EARLY_GRADIENTS False"):
        (losses["one"] + 2 * losses["other"]).backward()


def test_gradients_are_taken_outside_of_autocast_as_trainers_take_them():
    """What a network computes in full precision has its gradient in full precision, beyond the range of half."""
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


def test_losses_that_need_no_gradient_are_left_as_they_are():
    early = EarlyGradients([torch.nn.Parameter(torch.ones(1))])
    losses = {"loss": torch.tensor(1.0)}
    assert early.attach(early.take(losses, share=1.0)) == losses


def test_half_precision_takes_gradients_at_the_scale_of_grad_scaler(model, batch, monkeypatch):
    """Without it, those below the smallest number of half precision would be gone."""
    batch = {**batch, "images": batch["images"].float()}
    autocast = functools.partial(torch.autocast, "cpu", dtype=torch.float16)
    monkeypatch.setattr(torch.cuda.amp, "autocast", autocast)
    found, kept = {}, {}
    for early in (False, True):
        net, watched = model("MODEL.GDNORM.EARLY_GRADIENTS", str(early)).float(), Kept()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
        trainer = AMPTrainer(net, [batch], optimizer, None, torch.amp.GradScaler("cpu", init_scale=16.0))
        trainer.iter = 0
        # without oneDNN, some of whose kernels leave gradients of weights that meet padding alone as memory was
        with EventStorage(), watched.watch(), torch.backends.mkldnn.flags(enabled=False):
            torch.manual_seed(7)
            amp_step(trainer, monkeypatch)
        assert net.loss_scale is None
        found[early] = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
        kept[early] = watched.most
    assert torch.isfinite(found[True]).all() and found[False].norm() > 0
    assert (found[True] - found[False]).norm() < 0.01 * found[False].norm()
    assert kept[True] < 0.7 * kept[False]


def test_half_precision_of_an_unknown_scale_keeps_all_passes(model, batch):
    net = model().float().train()
    batch = {**batch, "images": batch["images"].float()}
    with EventStorage(), torch.autocast("cpu", dtype=torch.bfloat16):
        losses = net(batch)
    assert all("Attached" not in type(loss.grad_fn).__name__ for loss in losses.values())
