"""The compared methods, by the names of their config files."""

from __future__ import annotations

from fastreid.config import CfgNode

from ..modeling import is_gdnorm

# {name of the config file: name in tables, the paper's if it has one}, from the full method to the plain baseline
METHODS = {
    "gdnorm": "GDNorm",
    "recommended": "recommended",
    "branches": "branches only",
    "balanced": "baseline, balanced batches",
    "baseline": "baseline",
}


def method(cfg: CfgNode) -> str:
    """The method that a config trains: a key of METHODS."""
    if is_gdnorm(cfg):
        without_sampled_paths = "recommended" if cfg.MODEL.GDNORM.MEAN_OF == "path" else "branches"
        return "gdnorm" if cfg.MODEL.GDNORM.NUM_PATHS else without_sampled_paths
    return "balanced" if cfg.DATALOADER.SAMPLER_TRAIN == "DomainBalancedIdentitySampler" else "baseline"
