"""GDNormBaseline in half precision."""

import collections
import copy

import pytest
import torch
from fastreid.utils.events import EventStorage
from torch.utils._python_dispatch import TorchDispatchMode

from fastreid_gdnorm.layers import SampledPath


@pytest.fixture
def batch(batch):
    return {**batch, "images": batch["images"].float()}


def test_mixed_precision_trains_in_half_precision_with_full_precision_gradients(model, batch):
    net = model().float().train()
    # some bfloat16 kernels of oneDNN leave memory uninitialised in gradients of weights that see only padding
    with EventStorage(), torch.backends.mkldnn.flags(enabled=False), torch.autocast("cpu", dtype=torch.bfloat16):
        seen = []
        for layer in (net.backbone.features[0][1], net.backbone.features[17].conv[7]):
            layer.register_forward_hook(lambda layer, args, out: seen.append((args[0].dtype, out.dtype)))
        sum(net(batch).values()).backward()
    assert set(seen) == {(torch.bfloat16, torch.bfloat16)} and len(seen) == 4
    for name, p in net.named_parameters():
        if p.requires_grad:
            assert p.grad is not None and p.grad.dtype == torch.float32 and torch.isfinite(p.grad).all(), name


class Casts(TorchDispatchMode):
    """Counts how often each tensor is cast to another type, by its address."""

    def __init__(self):
        super().__init__()
        self.found = collections.Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._to_copy.default:
            self.found[args[0].data_ptr()] += 1
        return function(*args, **(kwargs or {}))


def test_mixed_precision_casts_each_weight_once_for_all_paths_and_no_parameter_or_statistics_of_bn(model, batch):
    net = model().float().train()
    net.loss_scale = 1.0
    with EventStorage(), Casts() as casts, torch.autocast("cpu", dtype=torch.bfloat16):
        net(batch)
    cast = {name: casts.found[values.data_ptr()] for name, values in net.state_dict().items()}
    assert {name for name, count in cast.items() if count and ".branches." in name} == set()
    weights = [name for name, values in net.named_parameters() if values.dim() == 4]
    assert len(weights) > 50 and {cast[name] for name in weights} == {1}


@torch.no_grad()
def make_a_large(net):
    """Make a huge, as if running statistics lagged behind the weights."""
    for bn in net.backbone.features[17].conv[7].branches:
        bn.running_var.fill_(1e-9)
        bn.weight.fill_(1e3)


@pytest.mark.parametrize("heads", ["True", "False"])
def test_a_sampled_path_that_leaves_the_range_of_half_precision_runs_again_in_full(model, batch, heads):
    net = model("MODEL.GDNORM.HEADS", heads).float().train()
    make_a_large(net)

    state = copy.deepcopy(net.state_dict())

    def along(follow_it):
        with EventStorage():
            torch.manual_seed(7)
            return follow_it()[0]

    def alone():
        return net._along(SampledPath(net.scale, net.noise), batch)

    with torch.autocast("cpu", dtype=torch.float16):
        assert not all(torch.isfinite(loss) for loss in along(alone).values())
        net.load_state_dict(state)
        found = along(lambda: net._on_sampled_path(batch))
    sum(found.values()).backward()
    assert torch.isfinite(net.backbone.features[0][0].weight.grad).all()
    moved = copy.deepcopy(net.state_dict())
    net.load_state_dict(state)
    full = along(alone)
    assert all(torch.allclose(moved[name], values) for name, values in net.state_dict().items()), "statistics too"
    assert all(loss.item() == pytest.approx(full[name].item(), rel=1e-5) for name, loss in found.items())


@pytest.mark.parametrize("heads", ["True", "False"])
def test_running_a_path_again_keeps_the_gradients_of_earlier_passes(model, batch, heads):
    net = model("MODEL.GDNORM.EARLY_GRADIENTS", "False", "MODEL.GDNORM.HEADS", heads).float().train()
    make_a_large(net)
    with EventStorage(), torch.autocast("cpu", dtype=torch.float16):
        losses = net(batch)
    sum(losses.values()).backward()
    assert torch.isfinite(net.heads.weight.grad).all()
