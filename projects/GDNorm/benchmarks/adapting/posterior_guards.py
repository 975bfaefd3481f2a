"""Candidates for the guard: measures of unlabelled images that might predict whether a posterior path will help."""

import torch
from torch.nn.functional import normalize

from fastreid_gdnorm.inference.adaptation_check import assess
from fastreid_gdnorm.layers import gdnorm_layers
from fastreid_gdnorm.layers.eval_mode import evaluating
from fastreid_gdnorm.layers.posterior_path import Prior


@torch.no_grad()
def guards(model, images, mean, posterior):
    """{candidate: value}, larger for a larger expected gain; all but two compare the posterior with the mean path."""
    with evaluating(model):
        by_mean, by_posterior = (views(model, images, path) for path in (mean, posterior))
    return {
        "shift": -shift(model, posterior),
        "repeatability": assess(model, images, posterior).repeatability,
        **{name: measure(*by_posterior) - measure(*by_mean) for name, measure in MEASURES.items()},
    }


def views(model, images, path):
    """Features of the images, and of the averages of a shifted and a relit mirror image: each (n, D) of length 1."""
    _, _, height, width = images.shape
    moved = images.flip(3).roll((height // 16, width // 16), (2, 3))
    lit = (images * 0.85 + 12).clamp(0, 255)
    return [normalize(model.embed({"images": batch}, [path])) for batch in (images, (moved + lit.flip(3)) / 2)]


def shift(model, posterior):
    """How far the layers' statistics moved from the prior, in standard deviations between the branches (RMS)."""
    squares = []
    for name, layer in gdnorm_layers(model).items():
        prior, own = Prior.of(layer), posterior.layers[name]
        spread = layer.stacked()[2].double().var(0)
        squares.append(((own.mean - prior.mean).square() / spread.clamp(min=1e-12)).clamp(max=1e4).mean())
    return float(torch.stack(squares).mean().sqrt())


def likeness(first, second):
    """Minus the mean cosine between different images: features that spread out distinguish images."""
    cosines = first @ first.T
    n = len(first)
    return -float((cosines.sum() - cosines.trace()) / (n * (n - 1)))


def separation(first, second):
    """How much closer two views of one image are than views of two images, in standard deviations of the latter."""
    cosines = first @ second.T
    others = cosines[~torch.eye(len(first), dtype=torch.bool)]
    return float((cosines.diag().mean() - others.mean()) / others.std())


def recognition(first, second):
    """The share of images whose nearest neighbour is their own other view."""
    return float(((first @ second.T).argmax(1) == torch.arange(len(first))).float().mean())


def rank(first, second):
    """The effective rank of the features (Roy and Vetterli 2007), as a share of n."""
    values = torch.linalg.svdvals(first - first.mean(0))
    shares = (values / values.sum()).clamp(min=1e-12)
    return float(torch.exp(-(shares * shares.log()).sum())) / len(first)


MEASURES = {"likeness": likeness, "separation": separation, "recognition": recognition, "rank": rank}
