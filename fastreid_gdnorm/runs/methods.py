"""The methods that are compared, by the name of their config file."""

from __future__ import annotations

from fastreid.config import CfgNode

from ..modeling import is_gdnorm

# by the paper's names where it has one; from the whole method to the plain baseline
METHODS = {
    "gdnorm": "GDNorm",
    "recommended": "recommended",
    "branches": "branches only",
    "balanced": "baseline, balanced batches",
    "baseline": "baseline",
}


def method(cfg: CfgNode) -> str:
    """The method that a config trains, a key of METHODS."""
    if is_gdnorm(cfg):
        without_sampled_paths = "recommended" if cfg.MODEL.GDNORM.MEAN_OF == "path" else "branches"
        return "gdnorm" if cfg.MODEL.GDNORM.NUM_PATHS else without_sampled_paths
    return "balanced" if cfg.DATALOADER.SAMPLER_TRAIN == "DomainBalancedIdentitySampler" else "baseline"
