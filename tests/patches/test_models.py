"""Patches of fast-reid's networks."""

import torch
from fastreid.layers import pooling


def test_flatten_takes_features_in_any_memory_format():
    features = torch.rand(2, 3, 4, 5)
    flat = pooling.Flatten()(features.to(memory_format=torch.channels_last))
    assert torch.equal(flat, features.view(2, 60, 1, 1))
