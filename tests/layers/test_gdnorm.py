"""The layer against Eq. 5-10 in naive float64 loops, and against the stock BatchNorm2d."""

import copy

import pytest
import torch
from torch import nn

from fastreid_gdnorm.layers import DomainPath, GDNorm, MeanPath, PooledPath, SourcePath, follow

from . import oracle

K, C, EPS = 3, 4, 1e-3


def random_layer(num_domains=K, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    layer = GDNorm(nn.BatchNorm2d(C, eps=EPS, momentum=0.3), num_domains).to(dtype)
    with torch.no_grad():
        for branch in layer.branches:
            branch.weight.uniform_(-2, 2, generator=generator)
            branch.bias.normal_(generator=generator)
            branch.running_mean.normal_(generator=generator)
            branch.running_var.uniform_(0.1, 3, generator=generator)
    return layer


def random_images(batch, seed=1, dtype=torch.float64):
    return torch.randn(batch, C, 3, 2, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 + 1


def parameters(layer):
    return [branch.weight.tolist() for branch in layer.branches], [branch.bias.tolist() for branch in layer.branches]


@pytest.mark.parametrize("domains", [[0, 0, 1, 1, 2, 2], [2, 0, 1, 1, 0, 2, 2], [1, 1, 1], [2, 0, 0]])
def test_domain_path_is_eq_5_to_7_in_any_order_and_leaves_absent_domains_alone(domains):
    layer, x = random_layer().train(), random_images(len(domains))
    before = [(bn.running_mean.tolist(), bn.running_var.tolist()) for bn in layer.branches]

    with follow(layer, DomainPath(torch.tensor(domains))):
        out = layer(x)

    assert torch.allclose(out, oracle.normalize(x, domains, *parameters(layer), EPS), atol=1e-12)
    for k, bn in enumerate(layer.branches):
        rows = [i for i, domain in enumerate(domains) if domain == k]
        mean, var = oracle.running(before[k], x[rows], 0.3) if rows else before[k]
        assert torch.allclose(bn.running_mean, torch.tensor(mean, dtype=x.dtype), atol=1e-12)
        assert torch.allclose(bn.running_var, torch.tensor(var, dtype=x.dtype), atol=1e-12)
        assert bn.num_batches_tracked == bool(rows)


def test_in_a_mixed_batch_each_image_gets_what_its_branch_computes_alone():
    layer, x = random_layer().train(), random_images(9)
    domains = torch.tensor([1, 0, 2, 0, 1, 2, 2, 1, 0])
    alone = torch.empty_like(x)
    for k, bn in enumerate(copy.deepcopy(layer).branches):
        alone[domains == k] = bn(x[domains == k])
    with follow(layer, DomainPath(domains)):
        assert torch.allclose(layer(x), alone, atol=1e-12)


def test_in_eval_mode_the_domain_path_uses_population_statistics_and_updates_none():
    layer, x = random_layer().eval(), random_images(3)
    state = copy.deepcopy(layer.state_dict())
    with follow(layer, DomainPath(torch.tensor([2, 0, 2]))):
        out = layer(x)
    for i, k in enumerate([2, 0, 2]):
        assert torch.allclose(out[i], layer.branches[k](x)[i], atol=1e-12)
    assert all(torch.equal(state[key], value) for key, value in layer.state_dict().items())


def test_affine_and_moments_are_eq_9_and_10():
    layer = random_layer()
    a, b = layer.affine()
    mean_a, var_a, mean_b, var_b = layer.moments()
    for c in range(C):
        branches = [
            oracle.affine(*(float(t[c]) for t in (bn.weight, bn.bias, bn.running_mean, bn.running_var)), EPS)
            for bn in layer.branches
        ]
        assert a[:, c].tolist() == pytest.approx([a for a, _ in branches], abs=1e-12)
        assert b[:, c].tolist() == pytest.approx([b for _, b in branches], abs=1e-12)
        assert (mean_a[c].item(), var_a[c].item()) == pytest.approx(oracle.moments([a for a, _ in branches]), abs=1e-12)
        assert (mean_b[c].item(), var_b[c].item()) == pytest.approx(oracle.moments([b for _, b in branches]), abs=1e-12)


def test_a_source_path_is_the_stock_layer_of_that_branch():
    layer, x = random_layer().eval(), random_images(5)
    for k, bn in enumerate(layer.branches):
        with follow(layer, SourcePath(k)):
            assert torch.allclose(layer(x), bn(x), atol=1e-12)


def test_the_default_path_is_m_of_a_and_b_and_updates_nothing_even_in_training_mode():
    layer, x = random_layer(), random_images(5)
    state = copy.deepcopy(layer.state_dict())
    mean_a, _, mean_b, _ = layer.moments()
    expected = x * mean_a[None, :, None, None] + mean_b[None, :, None, None]
    assert torch.allclose(layer.train()(x), expected, atol=1e-12)
    assert torch.allclose(layer.eval()(x), expected, atol=1e-12)
    assert all(torch.equal(state[key], value) for key, value in layer.state_dict().items())


def test_one_domain_is_plain_batch_norm():
    bn, x = nn.BatchNorm2d(C).double(), random_images(4)
    layer = GDNorm(bn, 1).train()
    with follow(layer, DomainPath(torch.zeros(4, dtype=torch.long))):
        assert torch.allclose(layer(x), bn.train()(x), atol=1e-12)
    assert torch.allclose(layer.eval()(x), bn.eval()(x), atol=1e-12)


def test_folding_gives_a_stock_layer_with_the_same_output_and_average_statistics():
    layer, x = random_layer().eval(), random_images(5)
    for path in (MeanPath(), SourcePath(1)):
        bn = layer.fold(path)
        assert type(bn) is nn.BatchNorm2d
        with follow(layer, path):
            assert torch.allclose(bn(x), layer(x), atol=1e-12)
        assert torch.allclose(bn.running_var, sum(b.running_var for b in layer.branches) / K)


def test_a_stock_state_loads_into_every_branch_and_another_k_is_refused_with_both_numbers():
    stock = random_layer(1, seed=5).branches[0]
    layer = random_layer()
    result = layer.load_state_dict(stock.state_dict())
    assert not result.missing_keys and not result.unexpected_keys
    for bn in layer.branches:
        assert torch.equal(bn.weight, stock.weight) and torch.equal(bn.running_var, stock.running_var)

    for other in (2, 4):
        model = nn.Sequential(random_layer(other))
        with pytest.raises(ValueError, match=f"has {other} branches in 0, this model has 3"):
            nn.Sequential(random_layer()).load_state_dict(model.state_dict(), strict=False)


def test_branches_share_no_memory_however_a_stock_state_is_loaded():
    stock = random_layer(1, seed=5).branches[0].state_dict()
    for assign in (False, True):
        layer = random_layer()
        layer.load_state_dict({key: value.clone() for key, value in stock.items()}, assign=assign)
        with torch.no_grad():
            layer.branches[0].weight.add_(1)
            layer.branches[0].running_mean.add_(1)
        assert torch.equal(layer.branches[1].weight, stock["weight"])
        assert torch.equal(layer.branches[1].running_mean, stock["running_mean"])


def test_the_mean_path_averages_what_its_argument_says():
    """Eq. 9 of averaged parameters; and averaged gamma and beta with statistics measured on that path."""
    layer, x = random_layer().eval(), random_images(5)
    gamma, beta = ([sum(values) / K for values in zip(*of_branches)] for of_branches in parameters(layer))
    images = [random_images(4, seed=seed) for seed in (3, 4)]
    with pytest.raises(RuntimeError, match="no statistics of its own yet"), follow(layer, MeanPath("path")):
        layer(x)
    before, pooled = copy.deepcopy(layer.state_dict()), PooledPath()
    with follow(layer, pooled):
        for batch in images:
            expected = oracle.normalize(batch, [0] * len(batch), [gamma], [beta], EPS)
            assert torch.allclose(layer(batch), expected, atol=1e-12)
    assert all(torch.equal(before[key], value) for key, value in layer.state_dict().items()), "branches do not change"
    pooled.keep()

    n = images[0][:, 0].numel()
    (first_means, first_variances), (second_means, second_variances) = map(oracle.statistics, images)
    for c in range(C):
        of_branches = [(float(bn.running_mean[c]), float(bn.running_var[c])) for bn in layer.branches]
        expected = {
            "statistics": [sum(values) / K for values in zip(*of_branches)],
            "path": [
                (first_means[c] + second_means[c]) / 2,
                (first_variances[c] + second_variances[c]) / 2 * n / (n - 1),
            ],
        }
        for of, (mean, variance) in expected.items():
            a, b = oracle.affine(gamma[c], beta[c], mean, variance, EPS)
            with follow(layer, MeanPath(of)):
                assert torch.allclose(layer(x)[:, c], a * x[:, c] + b, atol=1e-12)
            folded = layer.fold(MeanPath(of))
            assert torch.allclose(folded(x)[:, c], a * x[:, c] + b, atol=1e-12)
            assert folded.running_var[c].item() == pytest.approx(variance)
    with pytest.raises(ValueError, match="'affine', 'statistics', 'path'; got 'median'"):
        MeanPath("median")


def test_the_mean_paths_own_statistics_are_in_the_state_dict_once_measured():
    layer, pooled = random_layer(), PooledPath()
    plain = layer.state_dict()
    assert not any("path" in key for key in plain)
    with follow(layer, pooled):
        layer(random_images(4))
    pooled.keep()
    fresh = random_layer()
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh.path_mean, layer.path_mean) and torch.equal(fresh.path_var, layer.path_var)
    fresh.load_state_dict(plain)
    assert fresh.path_mean is None, "statistics of other weights are discarded"


def test_errors_name_the_value_and_the_fix():
    layer, x = random_layer().train(), random_images(3)

    def along(path, images):
        with follow(layer, path):
            layer(images)

    with pytest.raises(ValueError, match=r"domains \[0, 3\], but the model has 3 branches"):
        along(DomainPath(torch.tensor([0, 0, 3])), x)
    with pytest.raises(ValueError, match="domain 1 has one value per channel in the batch"):
        along(DomainPath(torch.tensor([0, 1, 0])), x[:, :, :1, :1])
    with pytest.raises(ValueError, match="no source 3: the model has the sources 0 to 2"):
        along(SourcePath(3), x)
    with pytest.raises(ValueError, match="num_domains must be 1 or more; got 0"):
        GDNorm(nn.BatchNorm2d(C), 0)
    with pytest.raises(ValueError, match="population statistics"):
        GDNorm(nn.BatchNorm2d(C, affine=False), 2)
