"""Eq. 5-11 as naive loops over Python floats, written from the paper alone."""

import math

import torch


def statistics(images):
    """Eq. 6: images (B, C, H, W) -> (mean, variance), lists of C floats."""
    means, variances = [], []
    for c in range(images.shape[1]):
        values = [float(v) for v in images[:, c].flatten()]
        mean = sum(values) / len(values)
        means.append(mean)
        variances.append(sum((v - mean) ** 2 for v in values) / len(values))
    return means, variances


def normalize(x, domains, gammas, betas, eps):
    """Eq. 5: normalise each domain's images by its batch statistics. gammas, betas: K lists of C floats."""
    out = torch.empty_like(x)
    for k in sorted(set(domains)):
        rows = [i for i, domain in enumerate(domains) if domain == k]
        means, variances = statistics(x[rows])
        for i in rows:
            for c in range(x.shape[1]):
                scale = math.sqrt(variances[c] + eps)
                out[i, c] = gammas[k][c] * (x[i, c] - means[c]) / scale + betas[k][c]
    return out


def running(before, images, momentum):
    """Eq. 7 in torch's convention: ``momentum`` weights the new value, and the new variance is unbiased."""
    n = images.shape[0] * images.shape[2] * images.shape[3]
    means, variances = statistics(images)
    old_mean, old_var = before
    mean = [(1 - momentum) * old + momentum * new for old, new in zip(old_mean, means)]
    var = [(1 - momentum) * old + momentum * new * n / (n - 1) for old, new in zip(old_var, variances)]
    return mean, var


def affine(gamma, beta, mean, var, eps):
    """Eq. 9 for one branch and channel."""
    a = gamma / math.sqrt(var + eps)
    return a, beta - gamma * mean / math.sqrt(var + eps)


def moments(values):
    """Eq. 10 for one channel: K floats -> (M, variance)."""
    mean = sum(values) / len(values)
    return mean, sum((v - mean) ** 2 for v in values) / len(values)
