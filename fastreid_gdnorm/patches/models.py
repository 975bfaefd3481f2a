"""Patches of fastreid's networks: where RegNet and EffNet look for files, and a pool layer."""

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


def patch_flatten():
    """The pool layer Flatten fails for features in channels-last order."""
    from fastreid.layers import pooling

    def forward(self, input):
        return input.reshape(input.size(0), -1, 1, 1)

    if source_has(pooling.Flatten.forward, "input.view("):
        pooling.Flatten.forward = forward
