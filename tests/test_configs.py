"""Every config in the tree loads and builds its model."""

import pytest
from fastreid.modeling.meta_arch import build_model

from fastreid_gdnorm.layers import GaussianProcess
from fastreid_gdnorm.runs.run_config import flat, load_config

from .conftest import REPOSITORY

CONFIGS = sorted([*REPOSITORY.glob("configs/**/*.yml"), *REPOSITORY.glob("projects/**/*.yml")])


@pytest.fixture(scope="module")
def branches():
    """A function that builds a config's network and gives its layers' numbers of branches; identical networks once."""
    built = {}

    def build(cfg):
        network = cfg.MODEL.dump() + str(len(cfg.DATASETS.NAMES))
        if network not in built:
            model = build_model(cfg)
            layers = GaussianProcess(model).layers if cfg.MODEL.META_ARCHITECTURE.startswith("GDNorm") else {}
            built[network] = {layer.num_domains for layer in layers.values()}
        return built[network]

    return build


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_it_builds(path, branches):
    without_teachers = ["KD.MODEL_CONFIG", "[]", "KD.MODEL_WEIGHTS", "[]"]
    overrides = ["MODEL.BACKBONE.PRETRAIN", "False", "MODEL.HEADS.NUM_CLASSES", "10", *without_teachers]
    cfg = load_config(str(path), overrides)
    expected = {len(cfg.DATASETS.NAMES)} if cfg.MODEL.META_ARCHITECTURE.startswith("GDNorm") else set()
    assert branches(cfg) == expected


GDNORM = [path for path in CONFIGS if path.name == "gdnorm.yml"]
IMAGES_OF_AN_IDENTITY = {
    "DGCUHK02": 4,
    "DGCUHKSYSU": 3,
    "DGCUHK03": 9,
}  # of the sets with few; from the counts in DATASETS.md


@pytest.mark.parametrize("path", GDNORM, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_source_has_four_identities_in_a_batch_and_few_copies_and_balanced_differs_in_the_branches_alone(path):
    cfg = load_config(str(path))
    images, instances = cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE
    assert images // instances // len(cfg.DATASETS.NAMES) >= 4
    fewest = min(IMAGES_OF_AN_IDENTITY.get(name, 16) for name in cfg.DATASETS.NAMES)
    assert instances - fewest <= fewest, "no more copies of an identity's images than images"

    balanced = load_config(str(path.parent / "balanced.yml"))
    differing = [key for key, value in flat(cfg) if dict(flat(balanced))[key] != value]
    assert sorted(differing) == ["MODEL.BACKBONE.NAME", "MODEL.META_ARCHITECTURE", "OUTPUT_DIR"]


def test_the_bases_are_section_4_2_of_the_paper():
    for name in ("baseline", "GDNorm"):
        cfg = load_config(f"configs/Base-{name}.yml")
        backbone, heads, solver = cfg.MODEL.BACKBONE, cfg.MODEL.HEADS, cfg.SOLVER
        assert (backbone.DEPTH, backbone.LAST_STRIDE, backbone.PRETRAIN) == ("50x", 1, True)
        assert (heads.POOL_LAYER, heads.WITH_BNNECK) == ("GeneralizedMeanPoolingP", True)
        assert cfg.INPUT.SIZE_TRAIN == cfg.INPUT.SIZE_TEST == [384, 128]
        # GDNorm shares the paper's 8 identities x 16 images among its sources, as 16 x 8
        assert (8 * 16, 16 if name == "baseline" else 8) == (solver.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE)
        assert cfg.INPUT.FLIP.ENABLED and cfg.INPUT.PADDING.ENABLED and cfg.INPUT.CJ.ENABLED and solver.AMP.ENABLED
        assert (solver.MAX_EPOCH, solver.BASE_LR, solver.STEPS, solver.GAMMA) == (60, 3.5e-4, [40], 0.1)
        assert (solver.WEIGHT_DECAY, solver.WEIGHT_DECAY_NORM, solver.WARMUP_ITERS) == (5e-4, 5e-4, 0)
        assert set(cfg.MODEL.LOSSES.NAME) == {"CrossEntropyLoss", "TripletLoss"}
    assert (cfg.MODEL.GDNORM.LAMBDA, cfg.MODEL.GDNORM.NOISE, cfg.MODEL.GDNORM.NUM_PATHS) == (0.6, "variance", 1)
    assert (cfg.DATALOADER.SAMPLER_TRAIN, cfg.SOLVER.HOOKS) == ("DomainBalancedIdentitySampler", ("DomainPreciseBN",))


def test_a_run_from_before_early_gradients_is_read():
    cfg = load_config("configs/Base-GDNorm.yml", ["MODEL.GDNORM.RECOMPUTE", "True"], has_data_sets=False)
    assert cfg.MODEL.GDNORM.EARLY_GRADIENTS and "RECOMPUTE" not in cfg.MODEL.GDNORM
