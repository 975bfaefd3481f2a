"""Trains in double precision in N processes: python -m tests.runs.one_and_two FOLDER N CASE..."""

# ruff: noqa: I001

import sys

import fastreid_gdnorm  # noqa: F401  makes fastreid importable
import torch
from fastreid.engine import DefaultTrainer
from fastreid.layers import get_norm
from fastreid.modeling.backbones import BACKBONE_REGISTRY
from fastreid.utils import comm
from torch import nn
from torch.utils.data import Sampler

from fastreid_gdnorm.data import DomainBalancedIdentitySampler
from fastreid_gdnorm.registries import SAMPLER_REGISTRY
from fastreid_gdnorm.runs.run_config import load_config
from fastreid_gdnorm.runs.launcher import Processes, launch

# Without augmentation and with plain SGD, one process and two draw the same numbers and differ only by rounding.
SETTINGS = """
    INPUT.SIZE_TRAIN [32,16] INPUT.SIZE_TEST [32,16] INPUT.FLIP.ENABLED False INPUT.PADDING.ENABLED False
    INPUT.CJ.ENABLED False MODEL.BACKBONE.NORM syncBN MODEL.HEADS.NORM syncBN MODEL.BACKBONE.FEAT_DIM 32
    MODEL.BACKBONE.NAME build_small_backbone MODEL.GDNORM.BACKBONE build_small_backbone
    SOLVER.OPT SGD SOLVER.BASE_LR 0.01 SOLVER.WARMUP_ITERS 4 SOLVER.MAX_EPOCH 5 SOLVER.STEPS [40]
    SOLVER.CHECKPOINT_PERIOD 9 SOLVER.IMS_PER_BATCH 12 DATALOADER.NUM_INSTANCE 2 TEST.EVAL_PERIOD 5
    TEST.PRECISE_BN.NUM_ITER 2 DATASETS.TESTS ('RenderedStation',) SEED 3
""".split()
GDNORM = ["MODEL.BACKBONE.NAME", "build_gdnorm_backbone"]
FIVE = "('RenderedStreet','RenderedMall','RenderedCampus','RenderedStation','RenderedNight')"
CASES = {
    "baseline": ("balanced", []),
    "0 paths": ("gdnorm", [*GDNORM, "MODEL.GDNORM.NUM_PATHS", "0"]),
    "1 path": ("gdnorm", GDNORM),
    "2 paths": ("gdnorm", [*GDNORM, "MODEL.GDNORM.NUM_PATHS", "2"]),
    "late gradients": ("gdnorm", [*GDNORM, "MODEL.GDNORM.EARLY_GRADIENTS", "False"]),
    "own mean path": ("gdnorm", [*GDNORM, "MODEL.GDNORM.MEAN_OF", "path"]),
    "full batches": ("gdnorm", [*GDNORM, "DATALOADER.DOMAIN_BATCH", "full", "SOLVER.IMS_PER_BATCH", "8"]),
    "5 domains": ("gdnorm", [*GDNORM, "DATASETS.NAMES", FIVE, "SOLVER.IMS_PER_BATCH", "24"]),
    "domains missing": ("gdnorm", [*GDNORM, "DATALOADER.SAMPLER_TRAIN", "Halves", "MODEL.GDNORM.NUM_PATHS", "0"]),
}


@BACKBONE_REGISTRY.register()
def build_small_backbone(cfg):
    """Three layers; one of their norms ignores NORM, as in MobileNetV2."""
    norm = cfg.MODEL.BACKBONE.NORM
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 2, 1, bias=False), get_norm(norm, 8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, 2, 1, bias=False), get_norm(norm, 32)),
    )


@SAMPLER_REGISTRY.register()
class Halves(Sampler):
    """Cuts a batch that is ordered by domain, so each process lacks the domains in the other's half."""

    def __init__(self, whole, size):
        self.whole, self._own = whole, size // comm.get_world_size()

    @classmethod
    def from_config(cls, cfg, train_set):
        items, size = train_set.img_items, cfg.SOLVER.IMS_PER_BATCH
        whole = DomainBalancedIdentitySampler(items, train_set.domains, size, cfg.DATALOADER.NUM_INSTANCE, seed=5)
        return cls(whole, size)

    def __iter__(self):
        for place, index in enumerate(self.whole):
            if place // self._own % comm.get_world_size() == comm.get_rank():
                yield index


class Trainer(DefaultTrainer):
    @classmethod
    def build_model(cls, cfg):
        model = super().build_model(cfg)
        model.backbone.register_forward_pre_hook(lambda module, images: (images[0].double(),))
        return model


def train(folder, cases):
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    for case in cases:
        config, overrides = CASES[case]
        file = f"projects/GDNorm/configs/demo/{config}.yml"
        trainer = Trainer(load_config(file, [*SETTINGS, *overrides, "OUTPUT_DIR", f"{folder}/{case}"]))
        trainer.train()


if __name__ == "__main__":
    folder, number, *cases = sys.argv[1:]
    launch(train, Processes(int(number)), "cpu", (folder, cases or list(CASES)))
