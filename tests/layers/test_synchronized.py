"""Synchronized batch norm in a group of one process; runs/test_processes.py trains with two."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

from fastreid_gdnorm.layers.distributed import synchronized_batch_norm


@pytest.fixture
def alone():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_output_statistics_and_gradients_equal_those_of_stock_batch_norm(alone):
    torch.manual_seed(0)
    ours, stock = nn.BatchNorm2d(3).double(), nn.BatchNorm2d(3).double()
    x = torch.randn(4, 3, 2, 2, dtype=torch.double, requires_grad=True)
    assert torch.allclose(synchronized_batch_norm([ours], x), stock(x), atol=1e-12)
    assert all(torch.allclose(values, stock.state_dict()[name]) for name, values in ours.state_dict().items())
    assert torch.autograd.gradcheck(lambda x: synchronized_batch_norm([ours], x), x)


def test_constant_channels_far_from_the_running_mean_stay_finite(alone):
    x = torch.linspace(3, 20, 64).view(1, 64, 1, 1).expand(8, 64, 16, 8).contiguous().requires_grad_()
    out = synchronized_batch_norm([nn.BatchNorm2d(64)], x)
    out.square().sum().backward()
    assert out.abs().max() < 0.1 and torch.isfinite(x.grad).all()
