"""Sampled paths (Eq. 11), their gradients, half precision, and ``follow``."""

import copy
import functools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.func import functional_call

from fastreid_gdnorm.layers import (
    DomainPath,
    GaussianProcess,
    GDNorm,
    MeanPath,
    PathOfEach,
    SampledPath,
    SourcePath,
    WeightedPath,
    convert_gdnorm,
    fold_gdnorm,
    follow,
)

from .test_gdnorm import EPS, C, K, random_images, random_layer


@pytest.mark.parametrize("noise", ["variance", "std"])
def test_samples_have_the_moments_of_eq_11_and_a_and_b_vary_independently(noise):
    layer, scale, copies, draws = random_layer(), 0.6, 1000, 20
    n = copies * draws
    wide = GDNorm(nn.BatchNorm2d(copies * C, eps=EPS), K).double()  # so many copies of every channel
    for own, branch in zip(layer.branches, wide.branches):
        state = own.state_dict().items()
        branch.load_state_dict({key: value.repeat(copies) if value.dim() else value for key, value in state})
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        drawn = [torch.stack(SampledPath(scale, noise, generator).affine(wide)) for _ in range(draws)]
        samples = torch.cat([values.view(2, copies, C) for values in drawn], dim=1)
        mean_a, var_a, mean_b, var_b = layer.moments()
    for values, mean, variance in zip(samples, (mean_a, mean_b), (var_a, var_b)):
        spread = scale * (variance if noise == "variance" else variance.sqrt())
        assert ((values.mean(0) - mean).abs() < 5 * spread / n**0.5).all()
        assert torch.allclose(values.std(0), spread, rtol=0.03)
    correlation = torch.corrcoef(torch.cat([*samples], dim=1).T)
    assert (correlation - torch.eye(2 * C)).abs().max() < 0.04


def test_scale_0_is_exactly_the_mean_path_and_a_path_keeps_its_noise():
    layer, x = random_layer().eval(), random_images(3)
    with follow(layer, SampledPath(scale=0.0)):
        assert torch.equal(layer(x), random_layer().eval()(x))
    path = SampledPath(generator=torch.Generator().manual_seed(3))
    first, again = path.affine(layer), path.affine(layer)
    same_seed = SampledPath(generator=torch.Generator().manual_seed(3)).affine(layer)
    other = SampledPath(generator=torch.Generator().manual_seed(4)).affine(layer)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], same_seed[1])
    assert not torch.equal(first[0], other[0])


class Backwards(nn.Module):
    """Runs its layers neither in the order in which they are defined nor in that of their names."""

    def __init__(self):
        super().__init__()
        self.b, self.a, self.c = (random_layer(seed=seed) for seed in range(3))

    def forward(self, x):
        return self.c(self.b(self.a(x)))


def test_one_seed_is_one_path_whether_followed_folded_or_in_a_copy():
    def path():
        return SampledPath(scale=3, generator=torch.Generator().manual_seed(3))

    model, x, own = Backwards().eval(), random_images(3), path()
    with follow(model, own):
        expected = model(x)
    with follow(copy.deepcopy(model), own) as other:
        assert torch.equal(other(x), expected), "the same object is the same path"
    for same in (own, path()):
        assert torch.allclose(fold_gdnorm(copy.deepcopy(model), same)(x), expected, atol=1e-10)


def test_a_sampled_path_reports_its_largest_a():
    model, path = Backwards().eval(), SampledPath(scale=3, generator=torch.Generator().manual_seed(3))
    assert path.largest_a is None
    with follow(model, path):
        model(random_images(3))
    assert path.largest_a == max(path.affine(layer)[0].abs().max() for layer in (model.a, model.b, model.c))


@pytest.mark.parametrize("noise", ["variance", "std"])
def test_gradients_reach_every_gamma_and_beta_and_no_statistics_change(noise):
    layer, x = random_layer().train(), random_images(4)
    state = copy.deepcopy(layer.state_dict())
    with follow(layer, SampledPath(noise=noise)):
        layer(x).square().sum().backward()
    for bn in layer.branches:
        assert (bn.weight.grad != 0).all() and (bn.bias.grad != 0).all()
    assert all(torch.equal(state[key], value) for key, value in layer.state_dict().items())


@pytest.mark.parametrize("noise", ["variance", "std"])
def test_gradients_are_finite_if_branches_agree_as_at_the_start(noise):
    layer, x = GDNorm(nn.BatchNorm2d(C), K), random_images(4, dtype=torch.float32)
    with follow(layer, SampledPath(noise=noise)):
        layer(x).square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())


@pytest.mark.parametrize(
    "path",
    [DomainPath(torch.tensor([1, 0, 2, 1, 0, 2])), MeanPath(), SourcePath(1), SampledPath(), SampledPath(noise="std")],
    ids=["domain", "mean", "source", "variance", "std"],
)
def test_gradcheck_in_the_input_and_all_branches(path):
    layer = random_layer().train()
    x = random_images(6).requires_grad_()
    if isinstance(path, SampledPath):
        path.affine(layer)  # samples the noise
    names = [name for name, _ in layer.named_parameters()]

    def run(x, *values):
        with follow(layer, path):
            return functional_call(layer, dict(zip(names, values)), (x,))

    for bn in layer.branches:
        bn.momentum = 0.0  # repeated evaluations must not change running statistics
    assert torch.autograd.gradcheck(run, (x, *layer.parameters()))


LAYOUTS = {
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "every other image": lambda x: x.repeat_interleave(2, 0)[::2],
    "width before height": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "expanded": lambda x: x[:, :, :, :1].expand(-1, -1, -1, 5),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["domain", "sampled"])
def test_every_memory_layout_gives_the_same_output_gradients_and_statistics(kind, layout):
    values = LAYOUTS[layout](random_images(5))
    found = []
    for x in (values, values.contiguous()):
        layer, x = random_layer().train(), x.detach().requires_grad_()
        sampled = SampledPath(generator=torch.Generator().manual_seed(2))
        with follow(layer, sampled if kind == "sampled" else DomainPath(torch.tensor([1, 0, 2, 1, 0]))):
            out = layer(x)
        out.pow(3).sum().backward()
        gradients = [p.grad for p in layer.parameters() if p.grad is not None]
        found.append([out, x.grad, *gradients, *layer.buffers()])
    assert not values.is_contiguous() and len(found[0]) == len(found[1])
    for own, other in zip(*found):
        assert torch.allclose(own.double(), other.double(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "path",
    [DomainPath(torch.tensor([1, 0, 1, 0])), MeanPath(), SampledPath(), SourcePath(0)],
    ids=["domain", "mean", "sampled", "source"],
)
def test_half_precision_activations_stay_half_and_close_to_full_precision(path):
    layer, x = random_layer(dtype=torch.float32), random_images(4, dtype=torch.float32)
    with follow(layer, path), torch.autocast("cpu", dtype=torch.bfloat16):
        half = layer(x.bfloat16())
        full = layer(x.bfloat16().float())
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), full, rtol=2**-7, atol=0.02)


LONG = functools.partial(torch.tensor, dtype=torch.long)
EACH = [SourcePath(0), SourcePath(1)]
OF_EACH_IMAGE = {
    "domain": lambda n: DomainPath(LONG([1, 0, 2][:n])),
    "weighted": lambda n: WeightedPath(torch.eye(K)[:n]),
    "chosen": lambda n: PathOfEach(EACH, LONG([1, 0, 1][:n])),
}


@pytest.mark.parametrize("kind", OF_EACH_IMAGE)
def test_a_path_for_each_image_needs_as_many_images(kind):
    layer = random_layer()
    before = copy.deepcopy(layer.state_dict())
    for mode in (True, False):
        with follow(layer.train(mode), OF_EACH_IMAGE[kind](0)):
            assert torch.equal(layer(random_images(0)), random_images(0))
    assert all(torch.equal(before[key], value) for key, value in layer.state_dict().items())
    for path, images in ((2, 3), (3, 2), (1, 3), (3, 1), (0, 1)):
        said = f"the path is for {path} images, but the batch has {images}"
        with follow(layer, OF_EACH_IMAGE[kind](path)), pytest.raises(ValueError, match=said):
            layer(random_images(images))


@pytest.mark.parametrize(
    "make, said",
    [
        (
            lambda: DomainPath(LONG([[0], [1]])),
            r"domains must be a LongTensor \(B,\); got .* shape \(2, 1\)",
        ),
        (lambda: DomainPath(torch.tensor([True, False])), r"domains must be a LongTensor \(B,\); got torch.bool"),
        (lambda: PathOfEach(EACH, torch.tensor([0.0])), r"choice must be a LongTensor \(B,\); got torch.float32"),
        (lambda: PathOfEach(EACH, LONG([0, -1])), r"choice has numbers \[-1, 0\], but there are 2 paths"),
        (lambda: PathOfEach(EACH, LONG([2])), r"choice has numbers \[2\], but there are 2 paths"),
    ],
)
def test_invalid_domains_and_choices_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_follow_covers_the_whole_model_nests_and_restores_after_exceptions():
    model = convert_gdnorm(nn.Sequential(nn.BatchNorm2d(C), nn.Sequential(nn.BatchNorm2d(C))), K)
    outer, inner = SourcePath(0), SampledPath()
    layers = [model[0], model[1][0]]

    def fail_within():
        with follow(model, inner):
            assert all(layer.path is inner for layer in layers)
            raise RuntimeError("in between")

    with follow(model, outer):
        with pytest.raises(RuntimeError, match="in between"):
            fail_within()
        assert all(layer.path is outer for layer in layers)
    assert all(isinstance(layer.path, MeanPath) for layer in layers)


def test_threads_that_follow_paths_through_one_model_take_turns():
    model, x = random_layer().eval(), random_images(3)
    first_runs, second_follows, first_ran = (threading.Event() for _ in range(3))

    def second():
        first_runs.wait()
        with follow(model, SourcePath(1)), follow(model, SourcePath(2)):
            second_follows.set()
            first_ran.wait(0.2)
            return model(x)

    with ThreadPoolExecutor(1) as pool:
        of_second = pool.submit(second)
        with follow(model, SourcePath(0)):
            first_runs.set()
            second_follows.wait(0.2)
            first = model(x)
        first_ran.set()
    for out, k in ((first, 0), (of_second.result(), 2)):
        with follow(model, SourcePath(k)):
            assert torch.equal(out, model(x))
    assert isinstance(model.path, MeanPath)


def test_the_gaussian_process_is_indexed_by_depth_and_follows_the_model():
    model = nn.Sequential(random_layer(seed=1), nn.ReLU(), random_layer(seed=2))
    process = GaussianProcess(model)
    assert len(process) == 2 and [name for name, _ in process] == ["0", "2"]
    assert torch.equal(process["2"].var_b, model[2].moments()[3])
    var_a, var_b = process.spread()
    assert var_a == pytest.approx(float(sum(m.var_a.mean() for _, m in process)) / 2)
    with torch.no_grad():
        model[0].branches[0].bias.add_(1)
    assert process.spread()[1] != pytest.approx(var_b)
    with pytest.raises(ValueError, match="Linear has no GDNorm layer"):
        GaussianProcess(nn.Linear(2, 2))


def test_unknown_noise_is_refused():
    with pytest.raises(ValueError, match="'variance' or 'std'; got 'sigma'"):
        SampledPath(noise="sigma")
