"""The config keys that a trained model's features depend on, beside its checkpoint."""

from __future__ import annotations

from typing import Any

from fastreid.config import CfgNode

from ..modeling import is_gdnorm
from ..modeling.path_names import posterior_place
from ..modeling.posterior_files import site_digest
from .run_config import flat

# how keys begin that make features, and of these the ones that do so in training alone or do not matter
FEATURES = ("MODEL.", "INPUT.SIZE_TEST", "INPUT.CROP.", "TEST.METRIC")
TRAINING = (
    *("MODEL.WEIGHTS", "MODEL.BACKBONE.PRETRAIN"),  # the checkpoint's contents count
    "MODEL.DEVICE",  # features are the same, to rounding
    *("MODEL.LOSSES.", "MODEL.HEADS.NUM_CLASSES", "MODEL.HEADS.MARGIN", "MODEL.FREEZE_LAYERS", "MODEL.QUEUE_SIZE"),
    *("MODEL.BACKBONE.DROP_", "MODEL.BACKBONE.ATT_DROP_RATE"),
    *("MODEL.GDNORM.NUM_PATHS", "MODEL.GDNORM.EARLY_GRADIENTS", "MODEL.GDNORM.NEW_BRANCH_ONLY"),
    *("INPUT.CROP.SCALE", "INPUT.CROP.RATIO"),
)
STATISTICS = ("SOLVER.IMS_PER_BATCH", "TEST.PRECISE_BN.NUM_ITER")  # the images that statistics are taken of


def read_feature_keys(cfg: CfgNode) -> dict[str, Any]:
    """{key: value} of what the features of ``cfg``'s model depend on, its checkpoint left out.

    Numbers are floats and sequences lists, so that equal configs have equal keys. A GDNorm model has its path as well:
    by contents where it is of files, with the keys that this kind of path reads, and how many branches there are.
    """
    keys = {
        key: _plain(value)
        for key, value in flat(cfg)
        if key.startswith(FEATURES) and not key.startswith((*TRAINING, "MODEL.GDNORM."))
    }
    if not cfg.INPUT.CROP.ENABLED:
        keys.pop("INPUT.CROP.SIZE", None)
    if cfg.MODEL.BACKBONE.NAME == "build_gdnorm_backbone":
        keys["MODEL.GDNORM.BACKBONE"] = cfg.MODEL.GDNORM.BACKBONE
    return {**keys, **_path_keys(cfg)} if is_gdnorm(cfg) else keys


def _path_keys(cfg: CfgNode) -> dict[str, Any]:
    gdnorm = cfg.MODEL.GDNORM
    kind, place = gdnorm.TEST_PATH.partition(":")[0], posterior_place(gdnorm.TEST_PATH)
    keys: dict[str, Any] = {
        "path": site_digest(place) if place else gdnorm.TEST_PATH,
        "branches": len(cfg.DATASETS.NAMES),
        "MODEL.GDNORM.HEADS": gdnorm.HEADS,
    }
    if kind == "sample":
        keys.update({"MODEL.GDNORM.LAMBDA": float(gdnorm.LAMBDA), "MODEL.GDNORM.NOISE": gdnorm.NOISE})
    if kind in ("mean", "weighted"):
        keys["MODEL.GDNORM.MEAN_OF"] = gdnorm.MEAN_OF
    has_own_branches = cfg.MODEL.BACKBONE.NAME == "build_gdnorm_backbone"
    by_sources = not place and kind != "mean" and not has_own_branches  # these may give it its branches' statistics
    if by_sources:
        keys["sources"] = list(cfg.DATASETS.NAMES)
    if by_sources or keys.get("MODEL.GDNORM.MEAN_OF") == "path":
        keys.update((key, value) for key, value in flat(cfg) if key in STATISTICS)
    return keys


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
