"""Copies of running statistics: equal, independent, and made by few operations."""

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from fastreid_gdnorm.layers import convert_gdnorm
from fastreid_gdnorm.layers.running_statistics import copy_statistics, keeping_statistics


def network(dtype=torch.float32):
    torch.manual_seed(0)
    layers = [module for _ in range(20) for module in (nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))]
    model = nn.Sequential(convert_gdnorm(nn.Sequential(*layers), num_domains=3), nn.BatchNorm2d(4)).to(dtype)
    for buffer in model.buffers():
        buffer.copy_(torch.rand_like(buffer, dtype=torch.float64) * 100)
    return model


def test_copies_are_equal_and_do_not_follow_the_model():
    model = network(torch.float64)
    model[1].float()  # two types of numbers
    expected = {name: buffer.clone() for name, buffer in model.named_buffers()}
    copied = copy_statistics(model)
    with keeping_statistics(model):
        for buffer in model.buffers():
            buffer.zero_()
    assert set(copied) == set(expected)
    for name, buffer in model.named_buffers():
        for values in (copied[name], buffer):
            assert values.dtype == expected[name].dtype and torch.equal(values, expected[name])


def test_a_model_without_bn_has_no_statistics():
    assert copy_statistics(nn.Conv2d(4, 4, 1)) == {}


def test_many_statistics_are_copied_by_few_operations():
    model = network()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        copy_statistics(model)
    copying = ("aten::cat", "aten::clone", "aten::copy_")
    assert sum(event.count for event in profiled.key_averages() if event.key in copying) == 2  # floats, and counts
