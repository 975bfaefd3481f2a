"""Patch of two of fastreid's backbones, RegNet and EffNet."""

from pathlib import Path

from .tools import source_has


def patch_regnet():
    """RegNet and EffNet look for their YAML files relative to the working directory."""
    import fastreid
    from fastreid.modeling.backbones.regnet import regnet

    installed_in = Path(fastreid.__file__).parent.parent
    stock_merge = regnet.regnet_cfg.merge_from_file  # effnet's config is the same object

    def merge_from_file(cfg_filename):
        stock_merge(str(installed_in / cfg_filename))

    if source_has(regnet, "'fastreid/modeling/backbones/regnet/"):
        object.__setattr__(regnet.regnet_cfg, "merge_from_file", merge_from_file)
