"""Posterior, instance and weighted paths, and added branches, compared with loops in float64."""

import copy
import math
import statistics

import pytest
import torch
from torch import nn

from fastreid_gdnorm.layers import (
    BranchStatisticsPath,
    DomainPath,
    InstancePath,
    MeanPath,
    NearnessPath,
    PathOfEach,
    PosteriorPath,
    SourcePath,
    WeightedPath,
    add_branch,
    convert_gdnorm,
    fold_gdnorm,
    follow,
    gdnorm_layers,
)

from .test_gdnorm import C, K, random_images, random_layer


class Deep(nn.Module):
    """Two layers with a nonlinearity between them."""

    def __init__(self):
        super().__init__()
        self.first, self.second = random_layer(seed=1), random_layer(seed=2)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


def observed(image_rows, eps):
    """Of a channel's images, as nested lists: mean, variance, and the sampling variances of both, times n."""
    of_images = [statistics.fmean(values) for values in image_rows]
    within = statistics.fmean(statistics.pvariance(values) for values in image_rows)
    mean = statistics.fmean(of_images)
    if len(image_rows) == 1:
        return mean, within, None, None
    between = statistics.variance(of_images)
    var = within + between
    shares = [statistics.fmean((v - mean) ** 2 for v in values) for values in image_rows]
    return mean, var, between / (var + eps), statistics.variance(shares) / (var + eps) ** 2


def rows_of(images, c):
    return [[float(v) for v in image[c].flatten()] for image in images]


def naive_scatter(sources, eps):
    """(of means, of log variances), averaged over channels and sources."""
    pairs = [observed(rows_of(images, c), eps)[2:] for images in sources for c in range(C)]
    return [statistics.fmean(values) for values in zip(*pairs)]


def naive(layer, images, scatter=None):
    """Posterior mean and variance of every channel, and the weights, by loops over images (n, C, H, W)."""
    eps, n, channels = layer.branches[0].eps, len(images), range(images.shape[1])
    means = [[float(branch.running_mean[c]) for branch in layer.branches] for c in channels]
    log_vars = [[math.log(float(branch.running_var[c]) + eps) for branch in layer.branches] for c in channels]
    tau_mean = statistics.fmean(
        statistics.variance(means[c]) / math.exp(statistics.fmean(log_vars[c])) for c in channels
    )
    tau_log = statistics.fmean(map(statistics.variance, log_vars))
    of_mean, of_log = scatter or naive_scatter([images], eps)
    weight_mean, weight_log = tau_mean / (tau_mean + of_mean / n), tau_log / (tau_log + of_log / n)
    found = []
    for c in channels:
        mean, var, *_ = observed(rows_of(images, c), eps)
        prior_mean, prior_log = statistics.fmean(means[c]), statistics.fmean(log_vars[c])
        if n == 1:
            var += of_mean * math.exp(prior_log)
        log_var = prior_log + weight_log * (math.log(var + eps) - prior_log)
        found.append((prior_mean + weight_mean * (mean - prior_mean), math.exp(log_var) - eps))
    return [torch.tensor(values, dtype=torch.float64) for values in (*zip(*found), (weight_mean, weight_log))]


def images_of(n):
    """Images whose means and variances differ."""
    generator = torch.Generator().manual_seed(n)
    scale, shift = (torch.randn(2, n, C, 1, 1, generator=generator, dtype=torch.float64)).unbind()
    return random_images(n) * scale.exp() + shift + 0.5


@pytest.mark.parametrize("n, scatter", [(2, None), (7, None), (7, (0.3, 2.0)), (1, (0.3, 2.0))])
def test_every_layers_posterior_equals_naive_loops(n, scatter):
    model, x = Deep(), images_of(n)
    for layer in gdnorm_layers(model).values():
        layer.image_scatter = scatter and torch.tensor(scatter)
    path = PosteriorPath.from_images(model, x)
    assert path.images == n and not any(
        isinstance(layer.path, PosteriorPath) for layer in gdnorm_layers(model).values()
    )
    seen = x
    for name, layer in gdnorm_layers(model).items():
        mean, var, weight = naive(layer, seen, scatter)
        for own, expected in zip(path.layers[name], (mean, var, weight)):
            # sums about the prior's mean lose digits if images are far from it, the variance of variances most
            assert torch.allclose(own, expected, rtol=1e-6, atol=1e-9)
        gamma, beta = (sum(getattr(branch, field) for branch in layer.branches) / K for field in ("weight", "bias"))
        shape = (1, C, 1, 1)
        scale = gamma.view(shape) / (var.view(shape) + layer.branches[0].eps).sqrt()
        seen = torch.relu((seen - mean.view(shape)) * scale + beta.view(shape)).detach()
    with follow(model, path):
        assert torch.allclose(torch.relu(model(x)), seen, atol=1e-6)


def test_batches_and_order_do_not_matter_and_the_model_does_not_change():
    model, x = Deep().train(), images_of(11)
    before = copy.deepcopy(model.state_dict())
    at_once = PosteriorPath.from_images(model, x)
    streamed = PosteriorPath.from_images(model, [x[7:], x[:3], x[3:7]])
    assert model.training and all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    for name, layer in at_once.layers.items():
        for own, other in zip(layer, streamed.layers[name]):
            assert torch.allclose(own, other, rtol=1e-7, atol=1e-9)


def test_no_image_or_one_gives_the_prior_and_very_many_give_their_own_statistics():
    layer, x = random_layer(), images_of(5)
    _, _, means, variances = layer.stacked()
    none, one = x[:0], x[:1]
    for images, n in (([], 0), (none, 0), ([none], 0), ([none, none], 0), (one, 1), ([none, one], 1)):
        path = PosteriorPath.from_images(layer, images)
        assert path.images == n
        (own,) = path.layers.values()
        assert torch.allclose(own.mean, means.mean(0)) and not own.weight.any()
        eps = layer.branches[0].eps
        assert torch.allclose(own.var, (variances + eps).log().mean(0).exp() - eps)
    many = x.repeat(100_000 // 5, 1, 1, 1)
    (own,) = PosteriorPath.from_images(layer, many).layers.values()
    assert torch.allclose(own.mean, x.mean((0, 2, 3)), atol=1e-3)
    assert torch.allclose(own.var, x.var((0, 2, 3), correction=0), rtol=1e-2)
    assert (own.weight > 0.99).all()


def test_a_posterior_path_folds_and_some_layers_can_keep_the_prior():
    model, x = Deep().eval(), images_of(6)
    path = PosteriorPath.from_images(model, x, prior_only=["sec*"])
    assert path.layers["first"].weight.all() and not path.layers["second"].weight.any()
    with follow(model, path):
        expected = model(x)
    folded = fold_gdnorm(copy.deepcopy(model), path)
    assert isinstance(folded.first, nn.BatchNorm2d) and (folded(x) - expected).abs().max() < 1e-6
    with pytest.raises(ValueError, match="no GDNorm layer matches 'third'; the layers are first, second"):
        PosteriorPath.from_images(model, x, prior_only=["third"])


def test_models_without_a_prior_are_refused():
    with pytest.raises(ValueError, match="has no GDNorm layer"):
        PosteriorPath.from_images(nn.Sequential(nn.BatchNorm2d(C)), random_images(3))
    one = convert_gdnorm(nn.BatchNorm2d(C).double(), 1)
    with pytest.raises(ValueError, match="one branch does not show how domains differ"):
        PosteriorPath.from_images(one, random_images(3))
    with pytest.raises(ValueError, match="all branches have the same statistics"):
        PosteriorPath.from_images(convert_gdnorm(nn.BatchNorm2d(C).double(), K), random_images(3))
    with pytest.raises(ValueError, match="images can be iterated only once"):
        PosteriorPath.from_images(random_layer(), iter([random_images(3)]))
    other = PosteriorPath.from_images(random_layer(), random_images(3))
    with pytest.raises(ValueError, match="posterior path belongs to another model"), follow(Deep(), other):
        pass


def test_the_instance_path_is_the_posterior_path_of_one_image():
    layer, x = random_layer().eval(), images_of(4)
    with pytest.raises(RuntimeError, match="lacks image_scatter"), follow(layer, InstancePath()):
        pass
    scatter = (0.3, 2.0)
    layer.image_scatter = torch.tensor(scatter)
    with follow(layer, InstancePath()):
        out = layer(x)
    gamma, beta, *_ = layer.stacked()
    for image, own in zip(x, out):
        mean, var, _ = naive(layer, image[None], scatter)
        for c in range(C):
            root = (var[c] + layer.branches[0].eps).sqrt()
            assert torch.allclose(own[c], gamma[:, c].mean() * (image[c] - mean[c]) / root + beta[:, c].mean())


def test_a_pass_over_a_source_measures_how_much_its_images_differ():
    layer, x = random_layer(), images_of(5)
    path = BranchStatisticsPath(1)
    for batch in (x[:2], x[2:]):
        with follow(layer, path), torch.no_grad():
            layer(batch)
    eps = layer.branches[0].eps
    expected = torch.tensor(naive_scatter([x], eps), dtype=torch.float64)
    assert torch.allclose(path.images[layer].evidence(eps).scatter(), expected)


def test_a_weighted_path_takes_weights_for_all_images_or_for_each():
    layer, x = random_layer().eval(), images_of(4)
    a, b = layer.affine()
    weights = torch.tensor([[0.2, 0.3, 0.5], [1, 0, 0], [0, 0, 1], [0.5, 0.5, 0]], dtype=torch.float64)
    with follow(layer, WeightedPath(weights)):
        out = layer(x)
    for row, image, own in zip(weights, x, out):
        scale, shift = (sum(row[k] * values[k] for k in range(K)).view(C, 1, 1) for values in (a, b))
        assert torch.allclose(own, image * scale + shift)
        folded = fold_gdnorm(copy.deepcopy(layer), WeightedPath(row))
        assert torch.allclose(folded(image[None])[0], own)
    with follow(layer, WeightedPath(torch.full((K,), 1 / K))):
        assert torch.allclose(layer(x), random_layer().eval()(x), atol=1e-6)
    with pytest.raises(TypeError, match="cannot be folded"):
        fold_gdnorm(copy.deepcopy(layer), WeightedPath(weights))
    with pytest.raises(ValueError, match="0 or more, with the sum 1"):
        WeightedPath(torch.tensor([0.5, 0.7, -0.2]))


def test_nearness_is_the_inverse_distance_of_means_and_standard_deviations():
    layer, x, nearness = random_layer().eval(), images_of(3), NearnessPath()
    with follow(layer, nearness):
        layer(x)
    _, _, means, variances = layer.stacked()
    unit = variances.mean(0) + layer.branches[0].eps
    for image, found in zip(x, nearness.weights()):
        mean, std = image.mean((1, 2)), image.std((1, 2), correction=0)
        distances = [
            ((((mean - means[k]) ** 2 + (std - variances[k].sqrt()) ** 2) / unit).mean()).sqrt() for k in range(K)
        ]
        near = torch.stack([1 / distance for distance in distances])
        assert torch.allclose(found, near / near.sum())


def test_each_image_can_follow_its_own_path():
    layer, x = random_layer().eval(), images_of(3)
    paths = [SourcePath(2), PosteriorPath.from_images(layer, images_of(5))]
    with follow(layer, PathOfEach(paths, torch.tensor([1, 0, 1]))):
        out = layer(x)
    for image, own, path in zip(x, out, [paths[1], paths[0], paths[1]]):
        with follow(layer, path):
            assert torch.allclose(layer(image[None])[0], own)


@pytest.mark.parametrize("init", [None, SourcePath(1), "posterior"])
def test_an_added_branch_starts_as_a_path_and_the_others_do_not_change(init):
    model, x = Deep().eval(), images_of(6)
    path = PosteriorPath.from_images(model, x) if init == "posterior" else init
    before = copy.deepcopy(model.state_dict())
    with follow(model, path or MeanPath()):
        expected = model(x)
    assert add_branch(model, path) is model
    with follow(model, SourcePath(K)):
        assert torch.allclose(model(x), expected)
    after = model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items()) and len(after) > len(before)
    with follow(model.train(), DomainPath(torch.tensor([0, 0, 1, 1, K, K]))):
        model(x).sum().backward()
    assert model.first.branches[K].weight.grad.any()
    with pytest.raises(TypeError, match="cannot be folded"):
        add_branch(model, DomainPath(torch.tensor([0, 1])))
