"""Layers that activation checkpointing runs again in the backward pass: on the same path, or with an error."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from fastreid_gdnorm.layers import DomainPath, GDNorm, MeanPath, SampledPath, convert_gdnorm, follow

from .test_gdnorm import K


class Bare(nn.Module):
    """A block of layers that can be checkpointed."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        block = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Tanh(), nn.BatchNorm2d(4, momentum=None))
        self.block = convert_gdnorm(block, K).double()
        for layer in self.block:
            if isinstance(layer, GDNorm):
                for parameter in layer.parameters():
                    nn.init.normal_(parameter)

    def forward(self, x, **checkpointing):
        x = x * 2
        x = checkpoint(self.block, x, **checkpointing) if checkpointing else self.block(x)
        return x.pow(3).sum()


PATHS = {
    "domain": lambda: DomainPath(torch.tensor([2, 0, 1, 1, 0, 2])),
    "sampled": lambda: SampledPath(generator=torch.Generator().manual_seed(2)),
    "mean": MeanPath,
}


def bare_step(path, net=None, **checkpointing):
    net = net or Bare()
    x = torch.randn(6, 3, 4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.double).requires_grad_()
    with follow(net, path):
        net(x, **checkpointing).backward()
    return [x.grad, *(p.grad for p in net.parameters() if p.grad is not None), *net.buffers()]


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("kind", PATHS)
def test_layers_run_again_on_the_path_that_is_followed(kind, use_reentrant):
    expected = bare_step(PATHS[kind]())
    found = bare_step(PATHS[kind](), use_reentrant=use_reentrant)
    assert all(torch.allclose(*pair, rtol=1e-12, atol=1e-12) for pair in zip(found, expected))
    assert len(found) == len(expected)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_layers_refuse_to_run_again_on_another_path(use_reentrant):
    """Neither on the default path nor on the path of another pass, even if it was followed last."""
    net, x = Bare(), torch.randn(6, 3, 4, 2, dtype=torch.double, requires_grad=True)
    domain, sampled = PATHS["domain"](), PATHS["sampled"]()

    def losses():
        found = []
        for path in (domain, sampled):
            with follow(net, path):
                found.append(net(x, use_reentrant=use_reentrant))
        return found

    refused = pytest.raises(RuntimeError, match="again, on a different path than in the forward pass")
    with refused:
        sum(losses()).backward()
    of_domain, of_sampled = losses()
    with refused, follow(net, sampled):
        of_domain.backward()
    with follow(net, sampled):
        of_sampled.backward()
    net(x, use_reentrant=use_reentrant).backward()  # on the default path


class Following(Bare):
    """Follows a path of its own inside the checkpointed part."""

    own = PATHS["sampled"]()

    def forward(self, x, **checkpointing):
        return checkpoint(self.along_its_own, x * 2, **checkpointing).pow(3).sum()

    def along_its_own(self, x):
        with follow(self.block, self.own):
            return self.block(x)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_a_checkpointed_part_can_follow_a_path_itself(use_reentrant):
    expected = bare_step(PATHS["sampled"]())
    found = bare_step(PATHS["domain"](), Following(), use_reentrant=use_reentrant)
    assert all(torch.allclose(*pair, rtol=1e-12, atol=1e-12) for pair in zip(found, expected))


def test_a_model_on_its_default_path_can_be_trained_in_any_thread():
    """Autograd numbers the nodes of each thread separately."""
    torch.ones(1, requires_grad=True).sum()
    net, x = Bare(), torch.ones(6, 3, 4, 2, dtype=torch.double, requires_grad=True)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: net(x, use_reentrant=False).backward()).result()
    assert x.grad.any()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "pickle"])
def test_a_copy_made_while_a_path_is_followed_is_on_the_default_path(copied):
    net = Bare()
    with follow(net, PATHS["domain"]()):
        twin = copied(net)
    assert all(isinstance(layer.path, MeanPath) for layer in twin.modules() if isinstance(layer, GDNorm))
    expected = bare_step(PATHS["domain"](), net)
    assert all(torch.equal(*pair) for pair in zip(bare_step(PATHS["domain"](), twin), expected))
