"""From a stock network to one with branches, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from .branched_norm import BRANCHABLE, why_not_branchable
from .gdnorm import GDNorm, gdnorm_layers
from .paths import AffinePath, MeanPath, Path

HOOKS = (  # forward and backward hooks move to the module that replaces theirs
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_is_full_backward_hook",
)


def convert_gdnorm(module: nn.Module, num_domains: int) -> nn.Module:
    """Replace every BN in ``module`` by a :class:`GDNorm` whose branches start as copies of it.

    Children are replaced in place, but use the returned module: ``module`` may itself be a BN. Layers keep their mode
    and their hooks. Existing GDNorm layers stay as they are, and a BN used in two places stays shared.

    Raises:
        ValueError: ``module`` has no BN, a BN that cannot be branched (GhostBatchNorm, ...), or a GDNorm layer with
            another number of branches. In that case nothing is replaced.

    Example:
        >>> model = convert_gdnorm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), num_domains=3)
        >>> [type(layer).__name__ for layer in model]
        ['Conv2d', 'GDNorm']
        >>> len(model[1].branches)
        3
    """
    norms = {name: m for name, m in module.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    if not norms and not gdnorm_layers(module):
        raise ValueError(f"{type(module).__name__} has no BatchNorm2d to branch")
    for name, bn in norms.items():
        reason = why_not_branchable(bn)
        if reason:
            raise ValueError(f"GDNorm cannot branch {type(bn).__name__} {name!r}: {reason}")
    for name, layer in gdnorm_layers(module).items():
        if layer.num_domains != num_domains:
            raise ValueError(f"GDNorm {name!r} has {layer.num_domains} branches already, not {num_domains}")
    return _replace(module, BRANCHABLE, lambda bn: GDNorm(bn, num_domains))


def fold_gdnorm(module: nn.Module, path: Path | None = None) -> nn.Module:
    """Replace every :class:`GDNorm` in ``module`` by the stock BN that computes ``path``, by default the mean path.

    Works in place, like :func:`convert_gdnorm`. The result has stock layers and stock state-dict keys, and is as fast
    as before the conversion. A parameter of the BN requires a gradient if it does so in any branch.

    Raises:
        TypeError: ``path`` is not one affine map for all images (for example a :class:`DomainPath`).

    Example:
        >>> model = convert_gdnorm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), num_domains=3).eval()
        >>> images = torch.randn(4, 3, 16, 8)
        >>> along_mean_path = model(images)
        >>> stock = fold_gdnorm(model)
        >>> type(stock[1]).__name__
        'BatchNorm2d'
        >>> torch.allclose(stock(images), along_mean_path, atol=1e-6)
        True
    """
    affine_path = _one_affine_map(path)
    affine_path.start(gdnorm_layers(module))
    return _replace(module, GDNorm, lambda layer: layer.fold(affine_path))


def add_branch(module: nn.Module, init: Path | None = None) -> nn.Module:
    """Append a branch to every :class:`GDNorm` in ``module``; the existing branches do not change.

    Args:
        init: the path that the new branch starts as, by default the mean path. It must be one affine map for all
            images. The best choice is a :class:`PosteriorPath` estimated from images of the new source.

    Raises:
        TypeError: ``init`` is not one affine map for all images.
        ValueError: ``module`` has no GDNorm layer.

    Example:
        >>> model = convert_gdnorm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), num_domains=3)
        >>> len(add_branch(model)[1].branches)
        4
    """
    layers = gdnorm_layers(module)
    if not layers:
        raise ValueError(f"{type(module).__name__} has no GDNorm layer to add a branch to")
    path = _one_affine_map(init)
    path.start(layers)
    for layer in layers.values():
        layer.add_branch(path)
    return module


def _one_affine_map(path: Path | None) -> AffinePath:
    path = MeanPath() if path is None else path
    if not isinstance(path, AffinePath):
        raise TypeError(f"a {type(path).__name__} is not one affine map for all images and cannot be folded")
    return path


def _replace(
    module: nn.Module, kind: type[nn.Module] | tuple[type[nn.Module], ...], make: Callable[[Any], nn.Module]
) -> nn.Module:
    in_branches = {bn for layer in gdnorm_layers(module).values() for bn in layer.branches}
    made: dict[nn.Module, nn.Module] = {}
    for name, child in list(module.named_modules(remove_duplicate=False)):
        if not isinstance(child, kind) or child in in_branches:
            continue
        if child not in made:
            hooks = {hook: vars(child)[hook] for hook in HOOKS}
            vars(child).update({hook: type(value)() for hook, value in hooks.items()})  # make must not copy them
            made[child] = make(child)
            for module_of_hooks in (child, made[child]):
                vars(module_of_hooks).update(hooks)
        if not name:
            return made[child]
        parent, _, attribute = name.rpartition(".")
        setattr(module.get_submodule(parent), attribute, made[child])
    return module
