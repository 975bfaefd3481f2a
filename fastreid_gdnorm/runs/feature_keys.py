"""The config keys that, beside the checkpoint, determine a trained model's features."""

from __future__ import annotations

from typing import Any

from fastreid.config import CfgNode

from ..modeling import is_gdnorm
from ..modeling.path_names import posterior_place
from ..modeling.posterior_files import site_digest
from .run_config import flat

# prefixes of the keys that determine features
FEATURES = ("MODEL.", "INPUT.SIZE_TEST", "INPUT.CROP.", "TEST.METRIC")
# prefixes of those keys that matter only in training, or not at all
TRAINING = (
    *("MODEL.WEIGHTS", "MODEL.BACKBONE.PRETRAIN"),  # only the checkpoint's contents count
    "MODEL.DEVICE",  # features are equal up to rounding
    *("MODEL.LOSSES.", "MODEL.HEADS.NUM_CLASSES", "MODEL.HEADS.MARGIN", "MODEL.FREEZE_LAYERS", "MODEL.QUEUE_SIZE"),
    *("MODEL.BACKBONE.DROP_", "MODEL.BACKBONE.ATT_DROP_RATE"),
    *("MODEL.GDNORM.NUM_PATHS", "MODEL.GDNORM.EARLY_GRADIENTS", "MODEL.GDNORM.NEW_BRANCH_ONLY"),
    *("INPUT.CROP.SCALE", "INPUT.CROP.RATIO"),
)
STATISTICS = ("SOLVER.IMS_PER_BATCH", "TEST.PRECISE_BN.NUM_ITER")  # these select the images for statistics


def read_feature_keys(cfg: CfgNode) -> dict[str, Any]:
    """{key: value} of everything that determines the features of ``cfg``'s model, except its checkpoint.

    Numbers become floats and sequences become lists, so that equal configs give equal results. For a GDNorm model, the
    result also has its path (a digest of the contents if the path is a file), the keys that this kind of path
    uses, and the number of branches.
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
    uses_sources = not place and kind != "mean" and not has_own_branches  # branch statistics may come from the sources
    if uses_sources:
        keys["sources"] = list(cfg.DATASETS.NAMES)
    if uses_sources or keys.get("MODEL.GDNORM.MEAN_OF") == "path":
        keys.update((key, value) for key, value in flat(cfg) if key in STATISTICS)
    return keys


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
